// SPDX-License-Identifier: GPL-3.0-or-later
/* preset.c - lines that have a name: options, and where their figures come from */
#include "shaper/preset.h"

#include <stdio.h>
#include <string.h>

/*
 * Rules of this table. A delay is one way, half of the round trip that a source
 * tells. What no source tells is not there: a line's rate says nothing of its
 * length, a route nothing of its rate. Where both directions differ, a is the
 * provider's side and b the subscriber's, so that ab is down and ba is up.
 *
 * The fields are in the order of struct preset: name, summary, source, both
 * directions, down, up.
 */

#define WAN2008                                                                                     \
	"delay line (WANem) of the migrations over an Ethernet tunnel between Stanford and Japan, " \
	"2008: added round trip of 0, 25, 50 and 120 ms, half of it each way"

/* Regions: West US is in California, Japan East in Tokyo, East US in Virginia, UK South in London,
 * Germany West Central in Frankfurt, Southeast Asia in Singapore, Australia East in Sydney,
 * Brazil South in São Paulo, South Africa North in Johannesburg. */
#define AZURE(from, to, rtt)                                                                         \
	"Microsoft, Azure network round-trip latency statistics, 95th percentile of the 30 days to " \
	"2026-07-30, " from " to " to ": " rtt " round trip, half of it each way; "                  \
	"https://learn.microsoft.com/azure/networking/azure-network-latency"

#define ETHERNET "IEEE 802.3: the MAC's rate; preamble, FCS, gap and padding take their share of it"

static const struct preset presets[] = {
	{"wan2008-rtt0", "the delay line of 2008, switched off", WAN2008, "--delay 0ms", NULL,
	 NULL},
	{"wan2008-rtt25", "the delay line of 2008, 25 ms round trip", WAN2008, "--delay 12.5ms",
	 NULL, NULL},
	{"wan2008-rtt50", "the delay line of 2008, 50 ms round trip", WAN2008, "--delay 25ms", NULL,
	 NULL},
	{"wan2008-rtt120", "the delay line of 2008, 120 ms round trip", WAN2008, "--delay 60ms",
	 NULL, NULL},

	{"stanford-japan", "California to Tokyo, 109 ms round trip",
	 AZURE("Japan East", "West US", "109 ms"), "--delay 54.5ms", NULL, NULL},
	{"london-newyork", "the fastest cable across the Atlantic, 58.95 ms round trip",
	 "Hibernia Express, tested latency from New York to London, 58.95 ms round trip, half of it "
	 "each way; The Broadcast Bridge, Trans-Atlantic Network Latency Reduced, 2015, "
	 "https://thebroadcastbridge.com/content/entry/3988/trans-atlantic-network-latency-reduced",
	 "--delay 29.475ms", NULL, NULL},
	{"london-virginia", "London to the east coast of the USA, 80 ms round trip",
	 AZURE("UK South", "East US", "80 ms"), "--delay 40ms", NULL, NULL},
	{"london-singapore", "London to Singapore, 183 ms round trip",
	 AZURE("UK South", "Southeast Asia", "183 ms"), "--delay 91.5ms", NULL, NULL},
	{"london-johannesburg", "London to Johannesburg, 169 ms round trip",
	 AZURE("UK South", "South Africa North", "169 ms"), "--delay 84.5ms", NULL, NULL},
	{"frankfurt-singapore", "Frankfurt to Singapore, 179 ms round trip",
	 AZURE("Germany West Central", "Southeast Asia", "179 ms"), "--delay 89.5ms", NULL, NULL},
	{"frankfurt-tokyo", "Frankfurt to Tokyo, 246 ms round trip",
	 AZURE("Germany West Central", "Japan East", "246 ms"), "--delay 123ms", NULL, NULL},
	{"virginia-sydney", "the east coast of the USA to Sydney, 207 ms round trip",
	 AZURE("East US", "Australia East", "207 ms"), "--delay 103.5ms", NULL, NULL},
	{"virginia-saopaulo", "the east coast of the USA to São Paulo, 119 ms round trip",
	 AZURE("East US", "Brazil South", "119 ms"), "--delay 59.5ms", NULL, NULL},
	{"california-sydney", "California to Sydney, 142 ms round trip",
	 AZURE("West US", "Australia East", "142 ms"), "--delay 71ms", NULL, NULL},

	{"t1", "a T1 line: 24 channels of 64 kbit/s",
	 "ITU-T G.704 and ANSI T1.403: 1.544 Mbit/s less 8 kbit/s of framing, 24 × 64 kbit/s",
	 "--rate 1536kbit", NULL, NULL},
	{"e1", "an E1 line: 31 channels of 64 kbit/s",
	 "ITU-T G.704: 2.048 Mbit/s, 32 time slots of 64 kbit/s, the first for framing",
	 "--rate 1984kbit", NULL, NULL},
	{"t3", "a T3 line",
	 "ANSI T1.107: 44.736 Mbit/s, of each 85 bits one of framing: 44.736 × 84 ÷ 85 Mbit/s",
	 "--rate 44.209694mbit", NULL, NULL},
	{"oc3", "an OC-3 (STM-1) line, concatenated",
	 "ANSI T1.105, ITU-T G.707: 155.52 Mbit/s, of 270 columns 260 of payload: 155.52 × 260 ÷ "
	 "270 Mbit/s",
	 "--rate 149.76mbit", NULL, NULL},

	{"ethernet-10m", "10 Mbit/s Ethernet", ETHERNET, "--rate 10mbit --overhead ethernet", NULL,
	 NULL},
	{"ethernet-100m", "Fast Ethernet", ETHERNET, "--rate 100mbit --overhead ethernet", NULL,
	 NULL},
	{"ethernet-1g", "Gigabit Ethernet", ETHERNET, "--rate 1gbit --overhead ethernet", NULL,
	 NULL},
	{"ethernet-10g", "10 Gbit/s Ethernet", ETHERNET, "--rate 10gbit --overhead ethernet", NULL,
	 NULL},

	{"dsl", "ADSL, the least that its systems support, in ATM cells",
	 "ITU-T G.992.1: systems support a minimum of 6.144 Mbit/s downstream and 640 kbit/s "
	 "upstream; AAL5 of ITU-T I.363.5",
	 "--overhead atm", "--rate 6.144mbit", "--rate 640kbit"},
	{"cable", "one DOCSIS 2.0 channel each way, all of it",
	 "CableLabs DOCSIS 2.0, ITU-T J.83 Annex B: 256-QAM in 6 MHz, 5.360537 Msymbol/s × 8 = "
	 "42.884 Mbit/s down; 64-QAM in 6.4 MHz, 5.12 Msymbol/s × 6 = 30.72 Mbit/s up",
	 NULL, "--rate 42.884mbit", "--rate 30.72mbit"},

	{"3g", "a 3G phone",
	 "Grigorik, High Performance Browser Networking, 2013, table 7-2: latency 100 to 500 ms, of "
	 "which √(100 × 500) = 224 ms round trip is taken, half of it each way, and 0.5 Mbit/s, the "
	 "low end of its rates, up; down 4.4 Mbit/s, the mean of OpenSignal, State of LTE, June "
	 "2017",
	 "--delay 112ms", "--rate 4.4mbit", "--rate 500kbit"},
	{"lte", "an LTE phone in the USA",
	 "Opensignal, State of Mobile: USA, May 2019: mean 21.3 Mbit/s down, 6.3 Mbit/s up; latency "
	 "44.1 to 66.4 ms, of which the middle, 55.25 ms round trip, half of it each way",
	 "--delay 27.625ms", "--rate 21.3mbit", "--rate 6.3mbit"},
	{"geo", "a geostationary satellite, straight above",
	 "propagation: up and down 35786 km each at 299792.458 km/s, 2 × 35786 ÷ 299792.458 = 0.238738 "
	 "s one way; 100 Mbit/s down and 10 up, the subscription in APNIC blog, Fact checking "
	 "Starlink's performance figures, 2022-11-28, "
	 "https://blog.apnic.net/2022/11/28/fact-checking-starlinks-performance-figures",
	 "--delay 238.738ms", "--rate 100mbit", "--rate 10mbit"},
	{"leo", "satellites in low orbit (Starlink, 2021 and 2022)",
	 "median round trip of 50 ms, half of it each way: APNIC blog, Fact checking Starlink's "
	 "performance figures, 2022-11-28, "
	 "https://blog.apnic.net/2022/11/28/fact-checking-starlinks-performance-figures; mean 110 "
	 "Mbit/s down and 20 up: Bergan, 2021, "
	 "https://www.impactlab.com/2021/03/01/elon-musk-promised-starlink-internet-speeds-of-1-gbps-will-it-happen/",
	 "--delay 25ms", "--rate 110mbit", "--rate 20mbit"},
};

#define PRESETS (sizeof(presets) / sizeof(*presets))

/* Returns the presets one by one, from 0; NULL behind the last. */
const struct preset *preset_at(size_t i)
{
	return i < PRESETS ? &presets[i] : NULL;
}

/* Returns a preset by its name; NULL with text in @e, which tells all names, if there is none. */
const struct preset *preset_find(const char *name, struct err *e)
{
	char names[ERR_TEXT_MAX];
	size_t i, at = 0;

	for (i = 0; i < PRESETS; i++)
		if (!strcmp(presets[i].name, name))
			return &presets[i];
	for (i = 0; i < PRESETS && at < sizeof(names); i++)
		at += (size_t)snprintf(names + at, sizeof(names) - at, " %s", presets[i].name);
	err_set(e, ENOENT, "'%.32s' is no preset; there are%s", name, names);
	return NULL;
}
