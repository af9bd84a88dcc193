// SPDX-License-Identifier: GPL-3.0-or-later
/* capfile_map.c - a file's bytes where the kernel has them, without a copy */
/*
 * Theory of operation
 *
 * Where packets were captured whole, their headers are a fortieth of a file.
 * read(2) copies all of it; a mapping costs page tables for all of it, which is
 * a quarter less, and nothing more where packets are cut. Smaller windows that
 * are mapped one after the other cost as much as the copy; what pays is one
 * mapping of the whole file, given back from its front.
 *
 * A mapped file that becomes shorter, or whose disk fails, raises SIGBUS where
 * its pages are missing. Then zeros are put there, so that whoever looks at
 * them goes on, and the reader is told at its next step that this is the end.
 * One file is mapped at a time; others are read.
 */
#include "capture/capfile_impl.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_LEAST 1048576u /* a smaller file is read as fast */
#define RELEASED  4194304u /* bytes that are given back at a time */

struct cap_map {
	uint8_t *base;
	size_t len, released; /* from base on */
	volatile sig_atomic_t broken;
	struct sigaction before;
};

static struct cap_map *volatile mapped;

/* Only what may be done in a signal handler: mmap(2) is a system call and nothing more. */
static void on_bus(int number, siginfo_t *info, void *context)
{
	struct cap_map *m = mapped;
	uintptr_t at = (uintptr_t)info->si_addr & ~(uintptr_t)4095;
	uintptr_t base = m ? (uintptr_t)m->base : 0;

	if (m && at >= base + m->released && at < base + m->len &&
	    mmap((void *)at, base + m->len - at, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0) != MAP_FAILED) {
		m->broken = true;
		return;
	}
	signal(SIGBUS, SIG_DFL); /* it is somebody else's: the next try is the last one */
}

/*
 * Maps what a file has.
 * @fd:   at its beginning; afterwards at the end of what is mapped
 * @data: its bytes, and how many; set only where a mapping is returned
 *
 * Returns NULL if it is no file, or small, or cannot be mapped.
 */
struct cap_map *cap_map_new(int fd, const uint8_t **data, size_t *len)
{
	struct sigaction a = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
	struct cap_map *m;
	struct stat st;
	void *base;

	if (fd < 0 || mapped || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size < MAP_LEAST ||
	    (uintmax_t)st.st_size > SIZE_MAX || lseek(fd, 0, SEEK_CUR))
		return NULL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->len = (size_t)st.st_size;
	base = mmap(NULL, m->len, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED || sigaction(SIGBUS, &a, &m->before) < 0 ||
	    lseek(fd, st.st_size, SEEK_SET) < 0) {
		if (base != MAP_FAILED)
			munmap(base, m->len);
		free(m);
		return NULL;
	}
	madvise(base, m->len, MADV_SEQUENTIAL);
	m->base = base;
	mapped = m;
	*data = base;
	*len = m->len;
	return m;
}

/* Gives back what lies before a position, now and then. */
void cap_map_release(struct cap_map *m, size_t before)
{
	size_t n = before - m->released;

	if (n < RELEASED)
		return;
	n &= ~(size_t)(RELEASED - 1);
	munmap(m->base + m->released, n);
	m->released += n;
}

/* Whether there were bytes that could not be read. */
bool cap_map_broken(const struct cap_map *m)
{
	return m->broken;
}

/* Gives all of it back. */
void cap_map_free(struct cap_map *m)
{
	munmap(m->base + m->released, m->len - m->released);
	mapped = NULL;
	sigaction(SIGBUS, &m->before, NULL);
	free(m);
}
