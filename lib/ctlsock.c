// SPDX-License-Identifier: GPL-3.0-or-later
/* ctlsock.c - an instance's control socket: one JSON request and reply a line */
/*
 * Theory of operation
 *
 * The socket is an abstract Unix socket, @longhaul/NAME: it vanishes with its
 * process and is scoped to the network namespace, so nothing is left behind.
 * Whoever binds the name owns the instance; a second one is told who does.
 *
 * A client connects, writes one JSON object and a newline, reads one JSON
 * object and a newline, and may go on so. Only root and the instance's own
 * user are listened to (SO_PEERCRED). Requests and connections are bounded;
 * a client that does not read its replies is closed when it asks again.
 *
 * A reply may carry a descriptor (SCM_RIGHTS), with its first byte: so a
 * client gets what it may use without any right over the process.
 */
#include "lib/ctlsock.h"

#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CTL_PREFIX	"longhaul/"
#define CTL_CLIENTS_MAX 16
#define INSTANCES_MAX	64
#define CTL_REQUEST_MAX 65536 /* bytes of a request's line */

struct client {
	struct ctl_server *server;
	struct loop_io io;
	char *in;
	size_t in_len;
	char *out; /* what could not be written at once */
	size_t out_len, out_pos;
	int out_fd; /* goes with its first byte; -1: none */
	struct client *next;
};

struct ctl_server {
	struct loop *loop;
	struct loop_io io;
	ctl_handler handler;
	void *ctx;
	struct client *clients;
	unsigned n_clients;
	int attached; /* to the reply that is being made; -1: none */
};

static socklen_t abstract_address(struct sockaddr_un *a, const char *kind, const char *name)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	/* What does not fit is cut: such a name cannot be claimed either, see ctl_check_name(). */
	snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "%s%s", kind, name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(a->sun_path + 1));
}

/*
 * Process that holds an abstract name, 0 if it cannot be told: who holds a
 * claim accepts nobody, and after so many who asked its queue is full.
 */
static int holder_pid(const struct sockaddr_un *a, socklen_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred cred = {0};
	socklen_t n = sizeof(cred);

	if (fd >= 0 && !connect(fd, (const struct sockaddr *)a, len))
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n);
	if (fd >= 0)
		close(fd);
	return cred.pid;
}

/* Binds and listens on an abstract name. Returns a descriptor, -EADDRINUSE with the holder in *pid,
 * or -errno. */
static int listen_on(const char *kind, const char *name, int *pid)
{
	struct sockaddr_un a;
	socklen_t len = abstract_address(&a, kind, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret;

	if (fd < 0)
		return -errno;
	if (!bind(fd, (struct sockaddr *)&a, len) && !listen(fd, CTL_CLIENTS_MAX))
		return fd;
	ret = -errno;
	close(fd);
	if (ret == -EADDRINUSE)
		*pid = holder_pid(&a, len);
	return ret;
}

/* " (process 12)" if it is known. */
static const char *name_process(char *buf, size_t len, int pid)
{
	buf[0] = '\0';
	if (pid)
		snprintf(buf, len, " (process %d)", pid);
	return buf;
}

/*
 * Checks an instance's name: it goes into socket and file names.
 * Returns 0 or -EINVAL.
 */
int ctl_check_name(const char *name, struct err *e)
{
	size_t n = strlen(name);

	if (!n || n >= CTL_NAME_MAX)
		return err_set(e, EINVAL, "instance name '%s' must have 1 to %d characters", name,
			       CTL_NAME_MAX - 1);
	if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
		    n ||
	    *name == '.')
		return err_set(e, EINVAL,
			       "instance name '%s' may hold letters, digits, '.', '_' and '-'",
			       name);
	return 0;
}

/*
 * Claims something for this process as long as it lives, such as an interface.
 * @what: kind of thing, "interface"
 * @name: which one
 *
 * Returns a descriptor to close at the end, or -EADDRINUSE with a text naming who has it.
 */
int ctl_claim(const char *what, const char *name, struct err *e)
{
	char kind[64], process[32];
	int pid = 0, fd;

	snprintf(kind, sizeof(kind), "longhaul-%s/", what);
	fd = listen_on(kind, name, &pid);
	if (fd == -EADDRINUSE)
		return err_set(e, EADDRINUSE,
			       "%s %s is already used by another longhaul instance%s; stop that "
			       "one or choose another",
			       what, name, name_process(process, sizeof(process), pid));
	if (fd < 0)
		return err_set(e, -fd, "cannot claim %s %s: %s", what, name, strerror(-fd));
	return fd;
}

/* Whether the other end of a connection is root's or our own user's. */
static bool admitted(int fd)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) &&
	       (cred.uid == 0 || cred.uid == geteuid());
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void client_close(struct client *c)
{
	struct client **at;

	for (at = &c->server->clients; *at != c; at = &(*at)->next)
		;
	*at = c->next;
	c->server->n_clients--;
	loop_close(c->server->loop, &c->io);
	close_fd(&c->out_fd);
	free(c->in);
	free(c->out);
	free(c);
}

/* As send(), with a descriptor; -1: none. */
static ssize_t send_with(int fd, const void *data, size_t len, int passed)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (passed >= 0) {
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.align), &passed, sizeof(int));
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

/* Writes what is pending. Returns false when the client is gone. */
static bool client_flush(struct client *c)
{
	ssize_t n;

	while (c->out_pos < c->out_len) {
		n = send_with(c->io.fd, c->out + c->out_pos, c->out_len - c->out_pos, c->out_fd);
		if (n < 0 && errno == EAGAIN) {
			loop_modify(c->server->loop, &c->io, EPOLLIN | EPOLLOUT);
			return true;
		}
		if (n < 0)
			return false;
		close_fd(&c->out_fd);
		c->out_pos += (size_t)n;
	}
	free(c->out);
	c->out = NULL;
	c->out_len = c->out_pos = 0;
	loop_modify(c->server->loop, &c->io, EPOLLIN);
	return true;
}

static json_t *error_reply(const char *text)
{
	return json_pack("{s:i, s:s}", "version", 1, "error", text);
}

/* Answers one line. Returns false when the client must be closed. */
static bool client_answer(struct client *c, const char *line, size_t len)
{
	json_error_t je;
	json_t *request, *reply;
	char *text;

	if (c->out)
		return false; /* does not read what it asked for */
	request = json_loadb(line, len, 0, &je);
	if (json_is_object(request))
		reply = c->server->handler(c->server->ctx, request);
	else
		reply = error_reply("a request is one JSON object on one line");
	json_decref(request);
	text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	json_decref(reply);
	c->out_fd = c->server->attached;
	c->server->attached = -1;
	if (!text)
		return false;
	c->out_len = strlen(text) + 1;
	c->out = text;
	c->out[c->out_len - 1] = '\n'; /* in place of the ending 0 */
	return client_flush(c);
}

/* Answers every whole line that has come. Returns false when the client must be closed. */
static bool client_lines(struct client *c)
{
	char *end;

	while ((end = memchr(c->in, '\n', c->in_len))) {
		size_t line = (size_t)(end - c->in);

		if (!client_answer(c, c->in, line))
			return false;
		c->in_len -= line + 1;
		memmove(c->in, end + 1, c->in_len);
	}
	return c->in_len < CTL_REQUEST_MAX;
}

static void client_ready(void *ctx, uint32_t events)
{
	struct client *c = ctx;
	ssize_t n;

	if (events & EPOLLOUT && !client_flush(c)) {
		client_close(c);
		return;
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	n = recv(c->io.fd, c->in + c->in_len, CTL_REQUEST_MAX - c->in_len, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	c->in_len += n > 0 ? (size_t)n : 0;
	if (n <= 0 || !client_lines(c))
		client_close(c);
}

static void server_ready(void *ctx, uint32_t events)
{
	struct ctl_server *s = ctx;
	int fd = accept4(s->io.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;

	if (fd < 0)
		return;
	c = s->n_clients < CTL_CLIENTS_MAX && admitted(fd) ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		close(fd);
		return;
	}
	*c = (struct client){
		.server = s, .io = {fd, client_ready, c}, .out_fd = -1, .next = s->clients};
	s->clients = c;
	s->n_clients++;
	c->in = malloc(CTL_REQUEST_MAX);
	if (!c->in || loop_add(s->loop, &c->io, EPOLLIN) < 0)
		client_close(c);
}

/*
 * Opens an instance's control socket.
 * @name:    the instance, see ctl_check_name()
 * @handler: answers each request, in the loop's thread
 *
 * Returns NULL with a text in @e, also when the name is taken.
 */
struct ctl_server *ctl_server_new(struct loop *l, const char *name, ctl_handler handler, void *ctx,
				  struct err *e)
{
	struct ctl_server *s = calloc(1, sizeof(*s));
	char process[32];
	int pid = 0, fd;

	if (!s) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	fd = listen_on(CTL_PREFIX, name, &pid);
	if (fd < 0) {
		if (fd == -EADDRINUSE)
			err_set(e, EADDRINUSE,
				"an instance named '%s' is already running%s; stop it, or give "
				"this one another --name",
				name, name_process(process, sizeof(process), pid));
		else
			err_set(e, -fd, "control socket of '%s': %s", name, strerror(-fd));
		free(s);
		return NULL;
	}
	*s = (struct ctl_server){.loop = l,
				 .io = {fd, server_ready, s},
				 .handler = handler,
				 .ctx = ctx,
				 .attached = -1};
	loop_add(l, &s->io, EPOLLIN);
	return s;
}

/*
 * Sends a copy of a descriptor along with the reply to the request that is being answered. For
 * handlers; the last one counts.
 * Returns 0 or -errno.
 */
int ctl_attach(struct ctl_server *s, int fd)
{
	close_fd(&s->attached);
	s->attached = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return s->attached < 0 ? -errno : 0;
}

/* Closes the control socket and its clients. */
void ctl_server_free(struct ctl_server *s)
{
	if (!s)
		return;
	while (s->clients)
		client_close(s->clients);
	loop_close(s->loop, &s->io);
	close_fd(&s->attached);
	free(s);
}

/* Waits until @fd is ready or the time is up. Returns 0, -ETIMEDOUT or -errno. */
static int wait_for(int fd, short events, unsigned timeout_ms)
{
	struct pollfd p = {fd, events, 0};
	int n = poll(&p, 1, (int)timeout_ms);

	return n > 0 ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}

static int write_all(int fd, const char *s, size_t len)
{
	ssize_t n;

	for (; len; s += n, len -= (size_t)n) {
		n = send(fd, s, len, MSG_NOSIGNAL);
		if (n < 0)
			return -errno;
	}
	return 0;
}

/* As recv(), with the first descriptor that comes along in *@passed, which is -1 before. */
static ssize_t recv_with(int fd, void *data, size_t len, int *passed)
{
	struct iovec iov = {data, len};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	/* Without room for it the kernel closes a descriptor that nobody has asked for. */
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = *passed < 0 ? control.buf : NULL,
			     .msg_controllen = *passed < 0 ? sizeof(control.buf) : 0};
	ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(passed, CMSG_DATA(c), sizeof(int));
	return n;
}

/* Reads one line into a growing buffer. Returns 0, *line malloc()ed, or -errno. */
static int read_reply(int fd, char **line, size_t *len, int *passed, unsigned timeout_ms)
{
	size_t room = 65536;
	char *buf = malloc(room);
	int ret = buf ? 0 : -ENOMEM;
	ssize_t n;

	*len = 0;
	while (!ret && !(*len && buf[*len - 1] == '\n')) {
		if (*len == room) {
			char *more = realloc(buf, room *= 2);

			if (!more) {
				ret = -ENOMEM;
				break;
			}
			buf = more;
		}
		ret = wait_for(fd, POLLIN, timeout_ms);
		if (ret)
			break;
		n = recv_with(fd, buf + *len, room - *len, passed);
		if (n <= 0)
			ret = n ? -errno : -ECONNRESET;
		else
			*len += (size_t)n;
	}
	if (ret) {
		free(buf);
		buf = NULL;
	}
	*line = buf;
	return ret;
}

/*
 * Asks a running instance, which may answer with a descriptor too.
 * @name:       the instance
 * @reply:      a new reference
 * @passed:     the descriptor, to be closed; -1: none came
 * @timeout_ms: longest silence that is waited for
 *
 * Returns 0; -ENOENT if no such instance runs here; -errno.
 */
int ctl_request_fd(const char *name, const json_t *request, json_t **reply, int *passed,
		   unsigned timeout_ms, struct err *e)
{
	struct sockaddr_un a;
	socklen_t alen = abstract_address(&a, CTL_PREFIX, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
	size_t len;
	int ret = 0;

	*reply = NULL;
	*passed = -1;
	if (fd < 0 || !text)
		ret = err_set(e, ENOMEM, "out of memory or descriptors");
	else if (connect(fd, (struct sockaddr *)&a, alen) < 0)
		ret = err_set(e, ENOENT, "no instance named '%s' runs in this network namespace",
			      name);
	else if (!admitted(fd))
		ret = err_set(
			e, EPERM,
			"what answers to the name '%s' is neither root's nor yours: not believed",
			name);
	if (!ret) {
		ret = write_all(fd, text, strlen(text));
		ret = ret ? ret : write_all(fd, "\n", 1);
		ret = ret ? ret : read_reply(fd, &line, &len, passed, timeout_ms);
		if (ret)
			err_set(e, -ret, "instance '%s' does not answer: %s%s", name,
				strerror(-ret),
				ret == -EPIPE || ret == -ECONNRESET
					? "; it answers root and its own user only"
					: "");
	}
	if (!ret) {
		*reply = json_loadb(line, len, 0, NULL);
		if (!*reply)
			ret = err_set(e, EPROTO,
				      "instance '%s' answered something that is not JSON", name);
	}
	if (ret)
		close_fd(passed);
	free(line);
	free(text);
	close_fd(&fd);
	return ret;
}

/* As ctl_request_fd(), of an instance that has no descriptor to give. */
int ctl_request(const char *name, const json_t *request, json_t **reply, unsigned timeout_ms,
		struct err *e)
{
	int passed, ret = ctl_request_fd(name, request, reply, &passed, timeout_ms, e);

	close_fd(&passed);
	return ret;
}

/*
 * Lists the instances that run in this network namespace.
 * @names: filled in, @max at most
 * Returns how many there are.
 */
size_t ctl_instances(char (*names)[CTL_NAME_MAX], size_t max)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char line[512], *at;
	size_t n = 0, i;

	while (f && n < max && fgets(line, sizeof(line), f)) {
		at = strstr(line, " @" CTL_PREFIX);
		if (!at)
			continue;
		at += strlen(" @" CTL_PREFIX);
		at[strcspn(at, "\n")] = '\0';
		for (i = 0; i < n && strcmp(names[i], at); i++)
			;
		if (i == n) /* each connection has a line of its own */
			snprintf(names[n++], CTL_NAME_MAX, "%s", at);
	}
	if (f)
		fclose(f);
	return n;
}

/* Which instance is meant when none is named. Returns 0 or -errno with a text. */
int ctl_only_instance(char name[CTL_NAME_MAX], struct err *e)
{
	static char names[INSTANCES_MAX][CTL_NAME_MAX];
	size_t n = ctl_instances(names, INSTANCES_MAX), i;
	char all[256] = "";

	if (!n)
		return err_set(e, ENOENT, "no instance runs in this network namespace");
	for (i = 0; i < n; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), " %s", names[i]);
	if (n > 1)
		return err_set(e, EINVAL, "several instances run here, name one:%s", all);
	memcpy(name, names[0], CTL_NAME_MAX);
	return 0;
}
