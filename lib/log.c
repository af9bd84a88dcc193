/* SPDX-License-Identifier: GPL-3.0-or-later */
/* log.c - messages to standard error, one line each */
#include "lib/log.h"

#include "lib/clock.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The one piece of process-wide state here: who speaks, and how much. Set once before threads. */
static struct {
	char name[64];
	enum log_level level;
	bool journal; /* systemd reads us: say the priority as it wants it, leave out the name */
} self = {.level = LOG_LEVEL_INFO};

/*
 * Whether a descriptor leads to systemd's journal. The variable is inherited
 * by everything started from a service, also by what redirects its errors;
 * so it names device and inode, see systemd.exec(5).
 */
static bool is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && !fstat(fd, &st) &&
	       st.st_dev == dev && st.st_ino == ino;
}

/*
 * Says who is speaking and what is worth saying. Call before threads start.
 * @name:  prefix of each line, such as "longhaul tunnel eth0"
 * @level: the least important level printed
 */
void log_setup(const char *name, enum log_level level)
{
	snprintf(self.name, sizeof(self.name), "%s", name);
	self.level = level;
	self.journal = is_journal(STDERR_FILENO);
}

/*
 * Prints one line to standard error, in one write so that threads do not mix.
 * @level: importance
 * @fmt:   printf format, without a newline
 */
void log_write(enum log_level level, const char *fmt, ...)
{
	static const char *const words[] = {"error: ", "warning: ", "", ""};
	static const int priorities[] = {3, 4, 6, 7}; /* syslog's, sd-daemon(3) */
	char line[1024];
	va_list ap;
	int n;

	if (level > self.level)
		return;
	if (self.journal)
		n = snprintf(line, sizeof(line), "<%d>%s", priorities[level], words[level]);
	else
		n = snprintf(line, sizeof(line), "%s: %s", self.name, words[level]);
	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nobody left to tell */
}

/*
 * Asks whether a repeated message may be printed now. Threads may share @limit.
 * @limit:      its memory
 * @suppressed: how many were held back since the last one, when true
 */
bool log_allowed(struct log_limit *limit, uint64_t *suppressed)
{
	uint64_t now = clock_ns();
	uint64_t next = atomic_load_explicit(&limit->next_ns, memory_order_relaxed);

	if (now < next ||
	    !atomic_compare_exchange_strong(&limit->next_ns, &next, now + limit->interval_ns)) {
		atomic_fetch_add_explicit(&limit->suppressed, 1, memory_order_relaxed);
		return false;
	}
	*suppressed = atomic_exchange(&limit->suppressed, 0);
	return true;
}
