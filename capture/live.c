// SPDX-License-Identifier: GPL-3.0-or-later
/* live.c - packets of an interface as they pass, by libpcap */
#include "capture/live.h"

#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER	   (32 << 20) /* of the kernel's ring: 0.1 s at 2.5 Gbit/s of whole packets */
#define TIMEOUT_MS 100	      /* how late a packet may be handed over where few pass */

struct live {
	pcap_t *pcap;
	uint64_t tick_ns;
	uint64_t drops;	     /* as last asked */
	uint32_t last_drops; /* libpcap counts in 32 bits */
	uint16_t link;
};

static int activate(struct live *l, const char *ifname, uint32_t snaplen, struct err *e)
{
	int ret;

	pcap_set_snaplen(l->pcap, (int)snaplen);
	pcap_set_promisc(l->pcap, strcmp(ifname, "any") != 0);
	pcap_set_timeout(l->pcap, TIMEOUT_MS);
	pcap_set_buffer_size(l->pcap, BUFFER);
	l->tick_ns = pcap_set_tstamp_precision(l->pcap, PCAP_TSTAMP_PRECISION_NANO) ? 1000 : 1;
	ret = pcap_activate(l->pcap);
	if (ret == PCAP_ERROR_NO_SUCH_DEVICE)
		return err_set(e, ENODEV, "interface '%s' does not exist; `ip link` lists them",
			       ifname);
	if (ret == PCAP_ERROR_PERM_DENIED || ret == PCAP_ERROR_PROMISC_PERM_DENIED)
		return err_set(e, EPERM,
			       "capturing on '%s' needs root, or the capability CAP_NET_RAW",
			       ifname);
	if (ret < 0)
		return err_set(e, EIO, "cannot capture on '%s': %s", ifname, pcap_geterr(l->pcap));
	return 0;
}

/*
 * Begins to capture on an interface, "any" for all.
 * @snaplen: bytes that are kept of each packet
 * @way:     what it receives, or sends, or CAP_WAY_UNKNOWN: both
 *
 * Returns NULL with a text.
 */
struct live *live_open(const char *ifname, uint32_t snaplen, enum cap_way way, struct err *e)
{
	struct live *l = calloc(1, sizeof(*l));
	char why[PCAP_ERRBUF_SIZE] = "";
	int link;

	if (!l) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	l->pcap = pcap_create(ifname, why);
	if (!l->pcap) {
		err_set(e, EIO, "cannot capture on '%s': %s", ifname, why);
		free(l);
		return NULL;
	}
	if (activate(l, ifname, snaplen, e))
		goto fail;
	if (way != CAP_WAY_UNKNOWN &&
	    pcap_setdirection(l->pcap, way == CAP_WAY_IN ? PCAP_D_IN : PCAP_D_OUT)) {
		err_set(e, EIO, "cannot capture one way on '%s': %s", ifname, pcap_geterr(l->pcap));
		goto fail;
	}
	link = pcap_datalink(l->pcap);
	/* libpcap's own numbers differ from those of files for raw IP only. */
	l->link = link == DLT_RAW ? LINK_RAW : (uint16_t)link;
	if (pcap_setnonblock(l->pcap, 1, why)) {
		err_set(e, EIO, "cannot capture on '%s': %s", ifname, why);
		goto fail;
	}
	return l;
fail:
	live_close(l);
	return NULL;
}

/*
 * The next packet.
 * Returns 1, 0 if there is none now, or -errno with a text when the interface has gone away.
 */
int live_next(struct live *l, struct cap_packet *p, struct err *e)
{
	struct pcap_pkthdr *h;
	const u_char *data;
	int got = pcap_next_ex(l->pcap, &h, &data);

	if (got == 0)
		return 0;
	if (got < 0)
		return err_set(e, EIO, "the capture ends: %s", pcap_geterr(l->pcap));
	*p = (struct cap_packet){
		.time_ns = (uint64_t)h->ts.tv_sec * 1000000000u +
			   (uint64_t)h->ts.tv_usec * l->tick_ns,
		.data = data,
		.captured = h->caplen,
		.length = h->len < h->caplen ? h->caplen : h->len,
		.link = l->link,
	};
	return 1;
}

/* Packets that were lost before they could be read. */
uint64_t live_drops(struct live *l)
{
	struct pcap_stat s;

	if (!pcap_stats(l->pcap, &s)) {
		l->drops += s.ps_drop - l->last_drops;
		l->last_drops = s.ps_drop;
	}
	return l->drops;
}

/* Type of the link layer, as in capture files. */
uint16_t live_link(const struct live *l)
{
	return l->link;
}

/* Ends a capture; NULL is allowed. */
void live_close(struct live *l)
{
	if (!l)
		return;
	pcap_close(l->pcap);
	free(l);
}
