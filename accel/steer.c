// SPDX-License-Identifier: GPL-3.0-or-later
/* steer.c - three ways to lead a SYN to any address and port to one listener */
/*
 * sk_lookup: a BPF program that the kernel asks when it looks for a listener
 *	(Linux 5.9; the ingress interface since 5.17). It costs nothing per
 *	segment of a connection.
 * tproxy:    nftables' TPROXY, by `nft`.
 * listeners: a listener for each server address and port, made before its
 *	first SYN is injected. Needs nothing, but such an address and port
 *	cannot be a client's at the same time.
 */
#include "accel/stack.h"

#include "lib/log.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEER_PORT  7245
#define INDICES_MAX 1024 /* of interfaces in the namespace */

/* ---- sk_lookup ---- */

static int bpf(int cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

#define INSN(c, d, s, o, i) \
	((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define LOAD(d, s, field) \
	INSN(BPF_LDX | BPF_W | BPF_MEM, d, s, offsetof(struct bpf_sk_lookup, field), 0)
#define MOVE(d, s)	  INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, i)	  INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define CALL(f)		  INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define JUMP(op, d, i, o) INSN(BPF_JMP | (op) | BPF_K, d, 0, o, i)

/*
 * Chooses socket 2 × ingress interface, + 1 for IPv6; without one the look-up
 * goes on.
 */
static int load_program(int map)
{
	const struct bpf_insn code[] = {
		MOVE(BPF_REG_6, BPF_REG_1),
		LOAD(BPF_REG_7, BPF_REG_6, ingress_ifindex),
		JUMP(BPF_JGE, BPF_REG_7, INDICES_MAX, 18),
		INSN(BPF_ALU64 | BPF_LSH | BPF_K, BPF_REG_7, 0, 0, 1),
		LOAD(BPF_REG_8, BPF_REG_6, family),
		JUMP(BPF_JNE, BPF_REG_8, AF_INET6, 1),
		INSN(BPF_ALU64 | BPF_OR | BPF_K, BPF_REG_7, 0, 0, 1),
		INSN(BPF_STX | BPF_W | BPF_MEM, BPF_REG_10, BPF_REG_7, -4, 0),
		INSN(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map),
		INSN(0, 0, 0, 0, 0),
		MOVE(BPF_REG_2, BPF_REG_10),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4),
		CALL(BPF_FUNC_map_lookup_elem),
		JUMP(BPF_JEQ, BPF_REG_0, 0, 7),
		MOVE(BPF_REG_9, BPF_REG_0),
		MOVE(BPF_REG_1, BPF_REG_6),
		MOVE(BPF_REG_2, BPF_REG_9),
		SET(BPF_REG_3, 0),
		CALL(BPF_FUNC_sk_assign),
		MOVE(BPF_REG_1, BPF_REG_9),
		CALL(BPF_FUNC_sk_release),
		SET(BPF_REG_0, SK_PASS),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	static char log[4096];
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SK_LOOKUP;
	attr.expected_attach_type = BPF_SK_LOOKUP;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = sizeof(code) / sizeof(*code);
	attr.license = (uintptr_t) "GPL";
	memcpy(attr.prog_name, "longhaul_accel", 15);
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0 && (errno == EACCES || errno == EINVAL)) {
		attr.log_level = 1;
		attr.log_buf = (uintptr_t)log;
		attr.log_size = sizeof(log);
		if (bpf(BPF_PROG_LOAD, &attr) < 0)
			log_debug("accel: sk_lookup program: %s", log);
	}
	return fd;
}

static int sk_lookup_open(struct stack *s, struct err *e)
{
	union bpf_attr attr;
	int netns;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_SOCKMAP;
	attr.key_size = 4;
	attr.value_size = 8;
	attr.max_entries = 2 * INDICES_MAX;
	s->map = bpf(BPF_MAP_CREATE, &attr);
	s->program = s->map < 0 ? -1 : load_program(s->map);
	if (s->program < 0)
		return err_set(e, errno, "BPF: %s", strerror(errno));
	netns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)s->program;
	attr.link_create.target_fd = (uint32_t)netns;
	attr.link_create.attach_type = BPF_SK_LOOKUP;
	s->link = bpf(BPF_LINK_CREATE, &attr);
	if (s->link < 0)
		err_set(e, errno, "BPF_LINK_CREATE: %s", strerror(errno));
	if (netns >= 0)
		close(netns);
	return s->link < 0 ? -EOPNOTSUPP : 0;
}

static int sk_lookup_add(struct stack *s, struct tap *t, struct err *e)
{
	union bpf_attr attr;
	uint64_t value;
	uint32_t key;
	unsigned i;

	if (t->ifindex >= INDICES_MAX)
		return err_set(e, E2BIG, "interface index %d", t->ifindex);
	for (i = 0; i < 2; i++) {
		if (t->listeners[i].io.fd < 0)
			continue;
		key = 2 * (uint32_t)t->ifindex + i;
		value = (uint64_t)t->listeners[i].io.fd;
		memset(&attr, 0, sizeof(attr));
		attr.map_fd = (uint32_t)s->map;
		attr.key = (uintptr_t)&key;
		attr.value = (uintptr_t)&value;
		if (bpf(BPF_MAP_UPDATE_ELEM, &attr))
			return err_set(e, errno, "BPF_MAP_UPDATE_ELEM: %s", strerror(errno));
	}
	return 0;
}

const struct steer_ops steer_sk_lookup = {
	.name = "sk_lookup",
	.without = STACK_WITHOUT_SK_LOOKUP,
	.open = sk_lookup_open,
	.add = sk_lookup_add,
};

/* ---- TPROXY ---- */

extern char **environ;

/* Runs `nft -f` on a text, here in the namespace. Returns 0 or -errno. */
static int run_nft(const char *rules, struct err *e)
{
	static char nft[] = "nft", option[] = "-f", dash[] = "-";
	char *argv[] = {nft, option, dash, NULL};
	int in = memfd_create("nft", MFD_CLOEXEC), status = -1, ret;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	pid_t pid;

	if (in < 0 || write(in, rules, strlen(rules)) < 0 || lseek(in, 0, SEEK_SET)) {
		ret = err_set(e, errno, "nft's rules: %s", strerror(errno));
		if (in >= 0)
			close(in);
		return ret;
	}
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	ret = posix_spawnp(&pid, "nft", &actions, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	close(in);
	if (ret)
		return err_set(e, ret, "nft: %s", strerror(ret));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status ? err_set(e, EOPNOTSUPP, "nft has no TPROXY") : 0;
}

static int tproxy_open(struct stack *s, struct err *e)
{
	char rules[512];

	s->port = STEER_PORT;
	snprintf(rules, sizeof(rules),
		 "table inet longhaul {\n"
		 " chain divert {\n"
		 "  type filter hook prerouting priority mangle; policy accept;\n"
		 "  iifname \"" STACK_TAP_PREFIX "*\" meta nfproto ipv4 meta l4proto tcp "
		 "tproxy ip to 127.0.0.1:%u\n"
		 "  iifname \"" STACK_TAP_PREFIX "*\" meta nfproto ipv6 meta l4proto tcp "
		 "tproxy ip6 to [::1]:%u\n"
		 " }\n"
		 "}\n",
		 s->port, s->port);
	return run_nft(rules, e);
}

const struct steer_ops steer_tproxy = {
	.name = "TPROXY",
	.without = STACK_WITHOUT_TPROXY,
	.open = tproxy_open,
};

/* ---- a listener for each server ---- */

static int listen_open(struct stack *s, struct err *e)
{
	return 0;
}

static struct tap_listener **find_listener(const struct flow *f)
{
	struct tap_listener **at;

	for (at = &f->tap->on_demand; *at; at = &(*at)->next)
		if ((*at)->ip_version == f->ip_version && (*at)->port == f->key.remote_port &&
		    !memcmp((*at)->address, f->key.remote, 16))
			break;
	return at;
}

static int listen_prepare(struct stack *s, const struct flow *f)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(f->key.remote_port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(f->key.remote_port)};
	struct tap_listener **at = find_listener(f), *l = *at;
	struct err e;
	int ret;

	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l)
			return -ENOMEM;
		memcpy(&in.sin_addr, f->key.remote + 12, 4);
		memcpy(&in6.sin6_addr, f->key.remote, 16);
		l->ip_version = f->ip_version;
		l->port = f->key.remote_port;
		memcpy(l->address, f->key.remote, 16);
		ret = f->ip_version == 4
			      ? stack_listen(f->tap, l, (struct sockaddr *)&in, sizeof(in), &e)
			      : stack_listen(f->tap, l, (struct sockaddr *)&in6, sizeof(in6), &e);
		if (ret) {
			log_debug("accel: %s", e.text);
			free(l);
			return ret;
		}
		*at = l;
	}
	l->users++;
	return 0;
}

static void listen_done(struct stack *s, const struct flow *f)
{
	struct tap_listener **at = find_listener(f), *l = *at;

	if (!l || --l->users)
		return;
	*at = l->next;
	stack_unlisten(l);
	free(l);
}

const struct steer_ops steer_listen = {
	.name = "listeners",
	.open = listen_open,
	.prepare = listen_prepare,
	.done = listen_done,
};
