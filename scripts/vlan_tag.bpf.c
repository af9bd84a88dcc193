// SPDX-License-Identifier: GPL-3.0-or-later
// Puts a laboratory host into VLAN VID (from the compiler's command line) by tc, where the kernel
// has no 802.1Q devices: every frame it sends is tagged, and only frames of its VLAN reach it.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// 802.1Q: the low 12 bits of the tag control information are the VLAN's number.
#define VID_MASK 0x0fff

// The tag goes into the packet's metadata, not its bytes, so segmentation and checksum offload of
// what is sent stay as they are.
SEC("egress")
int vlan_tag_egress(struct __sk_buff *skb)
{
	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), VID) < 0)
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

SEC("ingress")
int vlan_tag_ingress(struct __sk_buff *skb)
{
	if (!skb->vlan_present || (skb->vlan_tci & VID_MASK) != VID)
		return TC_ACT_SHOT;
	if (bpf_skb_vlan_pop(skb) < 0)
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
