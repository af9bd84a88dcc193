// SPDX-License-Identifier: GPL-3.0-or-later
/* port.c - border ports: what their kinds have in common */
#include "tunnel/port.h"

#include "lib/ctlsock.h"
#include "lib/log.h"
#include "lib/sock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct port_ops *const kinds[] = {
	[CONF_PORT_PACKET] = &port_packet,
	[CONF_PORT_TAP] = &port_tap,
};

/*
 * Checks that an interface can be a border port, and says what to do if not.
 * A TAP that does not exist yet will be made. Returns 0 or -errno.
 */
int port_check(const struct conf_port *conf, struct err *e)
{
	struct link_info info;
	int ret = link_get(conf->name, &info, e);

	if (ret && conf->kind == CONF_PORT_TAP)
		return 0;
	if (ret)
		return err_wrap(e, ret, "border port %s", conf->name);
	if (conf->kind == CONF_PORT_TAP && strcmp(info.kind, "tun"))
		return err_set(e, EEXIST,
			       "border port %s: an interface of that name exists and is not a "
			       "TAP; choose another name, or bridge it with -b %s:%u",
			       conf->name, conf->name, conf->tag);
	if (conf->kind == CONF_PORT_TAP)
		return 0;
	ret = link_check_bridgeable(&info, e);
	return ret ? err_wrap(e, ret, "border port %s", conf->name) : 0;
}

/*
 * Takes note of what the kernel says of the interface now.
 * @info: NULL: it is gone
 */
void port_link_changed(struct port *p, const struct link_info *info)
{
	bool up = info && info->up && info->running;

	if (info && info->mtu != p->mtu) {
		p->mtu = info->mtu;
		if (info->mtu < p->conf->mtu)
			log_warning(
				"port %s: MTU %u is below the LAN's %llu: larger frames will be dropped; "
				"`ip link set dev %s mtu %llu`, or say [port %s] mtu = %u",
				p->conf->name, info->mtu, (unsigned long long)p->conf->mtu,
				p->conf->name, (unsigned long long)p->conf->mtu, p->conf->name,
				info->mtu);
	}
	if (info && *info->master && !p->enslaved)
		log_warning(
			"port %s is enslaved to %s now: its frames are bridged twice; free it with `ip link set dev %s "
			"nomaster`",
			p->conf->name, info->master, p->conf->name);
	p->enslaved = info && *info->master;
	p->ifindex = info ? info->ifindex : 0;
	if (up != p->up || !p->known)
		log_info("port %s is %s", p->conf->name, up ? "up" : info ? "down" : "gone");
	p->up = up;
	p->known = true;
}

/*
 * Prepares a port; queues are opened one by one afterwards.
 * @index: in the tunnel's ports, and in those of @c
 * @tag:   index of its tag
 * @n_workers: how many will open it
 *
 * Returns 0 or -errno with a text. Undone by port_release() in either case.
 */
int port_init(struct port *p, const struct conf *c, unsigned index, unsigned tag,
	      unsigned n_workers, struct err *e)
{
	const struct conf_port *conf = &c->ports[index];
	int ret;

	*p = (struct port){
		.index = index,
		.tag = tag,
		.conf = conf,
		.ops = kinds[conf->kind],
		.claim = -1,
		.vnet = !(c->without & WITHOUT_VNET_HDR),
		.n_workers = n_workers,
	};
	ret = port_check(conf, e);
	if (ret)
		return ret;
	p->claim = ctl_claim("interface", conf->name, e);
	if (p->claim < 0)
		return p->claim;
	port_new_fanout(p);
	p->lro_was_on = link_hold_lro_off(p->conf->name);
	return 0;
}

/* Chooses the fanout group that the port's sockets will join next. */
void port_new_fanout(struct port *p)
{
	uint16_t id;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		id = (uint16_t)(p->fanout + 1);
	p->fanout = id;
}

/* Gives the interface back as it was. Its queues are closed. */
void port_release(struct port *p)
{
	if (p->lro_was_on)
		link_set_lro(p->conf->name, true);
	if (p->claim >= 0)
		close(p->claim);
	p->claim = -1;
}

/* Opens a worker's end of a port. Returns 0 or -errno with a text. */
int port_queue_open(struct port_queue *q, struct err *e)
{
	int fd = q->port->ops->open(q, e);

	if (fd < 0)
		return err_wrap(e, fd, "border port %s", q->port->conf->name);
	q->io.fd = fd;
	return 0;
}

/* Closes it; a closed one is left alone. */
void port_queue_close(struct port_queue *q)
{
	if (q->io.fd < 0)
		return;
	q->closed_drops = port_queue_kernel_drops(q);
	close(q->io.fd);
	q->io.fd = -1;
	q->n_tx = q->n_tx_iovs = 0;
}

/* Frames the kernel dropped because we did not read them in time, in all. */
uint64_t port_queue_kernel_drops(const struct port_queue *q)
{
	return q->closed_drops + (q->io.fd < 0 ? 0 : sock_overruns(q->io.fd));
}

/* Counts what a read has dropped. */
void port_count_drops(const struct batch_drops *drops, struct counters *c)
{
	if (drops->truncated)
		counter_add(&c->drops[DROP_truncated], drops->truncated);
	if (drops->short_frame)
		counter_add(&c->drops[DROP_short_frame], drops->short_frame);
}

/* Adds a frame that was read to a batch, or counts why not. Returns whether it was added. */
bool port_accept_frame(struct batch *b, uint8_t *data, uint32_t len,
		       const struct virtio_net_hdr *vnet, struct counters *c)
{
	struct batch_drops drops = {0};
	bool added = batch_add(b, data, len, vnet, &drops);

	port_count_drops(&drops, c);
	return added;
}

/*
 * Takes back what port_queue_send() counted of a message that could not be written after all.
 * @message: its place in the queue
 * @error:   errno of the write
 */
void port_count_send_error(struct port_queue *q, unsigned message, int error, struct counters *c)
{
	struct traffic *out = &c->ports[q->port->index].out;
	enum drop reason = DROP_port_error;

	switch (error) {
	case ENOBUFS:
	case EAGAIN: reason = DROP_port_full; break;
	case ENETDOWN:
	case ENXIO:
	case ENODEV:
	case EBADFD: /* a TAP that is down */
	case EIO: reason = DROP_port_down; break;
	case EMSGSIZE: reason = DROP_port_mtu; break;
	}
	counter_add(&c->drops[reason], q->tx_frames[message]);
	counter_add(&out->frames, -(uint64_t)q->tx_frames[message]);
	counter_add(&out->bytes, -(uint64_t)q->tx_bytes[message]);
	counter_add(&out->supers, -(uint64_t)(q->tx_frames[message] > 1));
}

/* Largest wire frame a port takes: a VLAN tag does not count against the MTU. */
static bool fits(const struct port *p, const struct gso_merged *m, const struct packet *pkt)
{
	return m->wire_len <= p->mtu + ETH_HDR_LEN + (uint32_t)pkt->vlans * VLAN_TAG_LEN;
}

static struct log_limit mtu_limit = LOG_LIMIT(60);

static void warn_mtu(const struct port *p, const struct gso_merged *m)
{
	uint64_t suppressed;

	if (log_allowed(&mtu_limit, &suppressed))
		log_warning(
			"port %s: a frame of %u bytes does not fit its MTU of %u; raise it: `ip link "
			"set %s mtu %u`",
			p->conf->name, m->wire_len, p->mtu, p->conf->name,
			m->wire_len - ETH_HDR_LEN);
}

/*
 * Queues a frame or super-frame for a port; all it points at must stay until
 * the flush at the batch's end.
 * @m: frame
 * @p: its layers
 */
void port_queue_send(struct port_queue *q, const struct gso_merged *m, const struct packet *p,
		     struct counters *c)
{
	struct iovec *iov;
	unsigned n;

	if (!q->port->up || q->io.fd < 0) {
		counter_add(&c->drops[DROP_port_down], m->frames);
		return;
	}
	if (!fits(q->port, m, p)) {
		counter_add(&c->drops[DROP_port_mtu], m->frames);
		warn_mtu(q->port, m);
		return;
	}
	if (q->n_tx == PORT_TX_MESSAGES || q->n_tx_iovs + m->iovcnt + 1 > PORT_TX_IOVS)
		q->port->ops->flush(q, c);
	iov = &q->tx_iovs[q->n_tx_iovs];
	n = q->port->vnet;
	if (n)
		iov[0] = (struct iovec){(void *)&m->vnet, sizeof(m->vnet)};
	memcpy(iov + n, m->iov, m->iovcnt * sizeof(*iov));
	n += m->iovcnt;
	q->tx_msgs[q->n_tx].msg_hdr = (struct msghdr){.msg_iov = iov, .msg_iovlen = n};
	q->tx_frames[q->n_tx] = m->frames;
	q->tx_bytes[q->n_tx] = m->len + (m->frames - 1) * p->payload;
	counter_add(&c->ports[q->port->index].out.frames, m->frames);
	counter_add(&c->ports[q->port->index].out.bytes, q->tx_bytes[q->n_tx]);
	counter_add(&c->ports[q->port->index].out.supers, m->frames > 1);
	q->n_tx++;
	q->n_tx_iovs += n;
}
