/* SPDX-License-Identifier: GPL-3.0-or-later */
/* internal.h - what accel's own files share */
#ifndef ACCEL_INTERNAL_H
#define ACCEL_INTERNAL_H

#include "accel/accel.h"
#include "accel/chunk.h"
#include "accel/credit.h"
#include "accel/crowd.h"
#include "accel/demand.h"
#include "accel/flow.h"
#include "accel/journal.h"
#include "accel/life.h"
#include "accel/limits.h"
#include "accel/record.h"
#include "accel/stack.h"
#include "accel/stripes.h"
#include "lib/batch.h"
#include "lib/clock.h"
#include "lib/counter.h"
#include "lib/loop.h"

#include <semaphore.h>

/* How long stragglers of an ended connection are answered, and a bypass outlives its close. */
#define LINGER_MS 60000
/* A bridged connection that is silent is forgotten: no SYN is repeated that late (RFC 6298, six
 * retries). */
#define BRIDGED_IDLE_MS 300000
/* A reset that nobody fetched. */
#define TOMB_MS (24 * 3600 * 1000)
/* Segments of unknown connections are not believed for this long after a start without a journal.
 */
#define QUARANTINE_NS (120 * NS_PER_S)

#define TICK_NS	       (100 * NS_PER_MS)
#define TICKS_A_SECOND ((unsigned)(NS_PER_S / TICK_NS))

/* The relay thread is busy from so many bytes a tick on: 320 Mbit/s. Then a turn that would find
 * little waits for more. */
#define BUSY_BYTES	(4u << 20)
#define TURN_BYTES	(96u << 10)
#define GATHER_US	200
#define SYN_PATIENCE_NS (4 * NS_PER_S)	  /* beyond twice the last interval between two SYNs */
#define SYN_INTERVAL_NS (3 * NS_PER_S)	  /* a first interval is at most this: RFC 1122 4.2.3.1 */
#define ACCEPT_WAIT_NS	(3 * NS_PER_S)	  /* for the client's ACK of our SYN/ACK */
#define ANSWER_WAIT_NS	(500 * NS_PER_MS) /* besides a round trip, for the server's SYN/ACK */
#define STREAM_AGE_NS	(3600 * NS_PER_S)
#define STREAM_CLOSE_NS (5 * NS_PER_S) /* for the peer to read our last words */
#define STREAMS_SPARE	8	       /* idle ones kept for the next flows, a peer */
#define STREAMS_IDLE	32	       /* kept of those that flows have left, a peer */
#define STREAMS_AHEAD	256	       /* kept when flows become more, a peer */
#define WARM_HOUR_MAX	(64u << 20)    /* bytes of padding to a peer in an hour */
#define ENTRIES_MAX	262144	       /* connections remembered */
#define NEWS_MAX	4096	       /* frames handed to the relay thread and not yet seen */
#define SYN_MAX		1600	       /* bytes of a SYN that is held */

/* Buffers of a socket to a host, both ways together: what the kernel tunes them to at most
 * (LAN_BUFFERS in stack.c), and what they need. */
#define LAN_MAX (12u << 20)
#define LAN_MIN (32u << 10)

#define STRIPE_PIECE_MIN (16u << 10) /* bytes on a stripe at a time: one TLS record */

#define SCRATCH (256u << 10) /* bytes read from a stream at a time */

/* Turns a socket or stream may have before others. */
#define TURNS_MAX	  16	/* of RECORD_DATA_MAX */
#define STREAM_TURNS_MAX  4	/* of SCRATCH */
#define STREAM_READ_AHEAD 65536 /* bytes read from a stream's socket at a time */

struct shard;
struct stream;

/* A flow that is relayed. Its shard's own. */
struct relay {
	struct accel *a;
	struct shard *shard;
	struct flow *flow;
	struct life life;
	uint32_t number;	 /* of the flow, chosen by who opened it; 0: not yet */
	struct stream *stream;	 /* NULL: waiting for one, or done with it. One of its stripes */
	struct stripes *striped; /* NULL: it has not had more than one stream */
	struct stripes_wish wish;
	struct copies copies;
	struct loop_io io; /* socket to the host; fd -1: none yet */
	bool prepared;	   /* the stack was told to expect its SYN */
	bool readable;	   /* the socket may have more */
	bool urgent;	   /* urgent data have come: reading stops at them */
	bool pending;	   /* on the list of those whose turn was cut short */
	bool waiting;	   /* for a stream; counted in its peer's pool */
	bool shut;	   /* FIN to the host was sent */
	bool ended;	   /* to be freed at the end of the turn */
	uint8_t tos;
	uint8_t refuse;			       /* enum refuse, of a connection that failed */
	enum accel_reason reason;	       /* why it will be bridged */
	struct segment_error error;	       /* of a server that cannot be reached */
	uint8_t syn[SYN_MAX + BATCH_HEADROOM]; /* newest held one, behind some room */
	uint32_t syn_len;
	struct virtio_net_hdr syn_vnet;
	uint64_t begun_ns, syn_ns, syn_interval_ns, phase_ns;
	uint64_t looked_ns;  /* whether the host is alive */
	uint32_t got;	     /* bytes read from the host, modulo 2³² */
	uint64_t sent;	     /* bytes of DATA sent to the peer */
	uint64_t received;   /* from it, in order */
	uint64_t limit;	     /* bytes that may be sent since the beginning */
	uint64_t peer_taken; /* bytes that the peer's host has taken, as it has told */
	uint32_t window;     /* that we have granted */
	uint32_t buffers;    /* bytes that its socket to the host may hold, both ways together */
	uint64_t taken;	     /* bytes written to the host */
	uint64_t told;	     /* …as the peer was told */
	struct credit_meter meter;
	struct chunk *queue, **queue_end;
	uint64_t queued; /* bytes */
	struct relay *prev, *next, *next_pending, *next_ended;
};

enum stream_state { STREAM_IDLE, STREAM_BUSY, STREAM_CLOSING };

/* A TLS connection to a peer. Its shard's own. */
struct stream {
	struct accel *a;
	struct shard *shard;
	unsigned peer;
	bool we_called;	  /* it was made by us */
	bool we_open;	  /* flows are opened on it by us; else by the peer */
	bool heard;	  /* its HELLO has come, or is not awaited */
	bool pending;	  /* on the list of those whose turn was cut short */
	bool said;	  /* on the list of those on which something was said in this turn */
	bool blocks;	  /* its flow waits for it to be written */
	bool joining;	  /* JOIN was said, the answer has not come */
	bool said_last;	  /* nothing more of the flow is said on it: DONE or LEAVE was */
	bool heard_last;  /* …by the peer */
	bool lazy;	  /* on that of those on which something was said that nobody waits for */
	bool retired;	  /* not for another flow */
	bool sent_last;	  /* while closing: everything was written, shut down */
	bool dead;	  /* to be freed at the end of the turn */
	bool asked_for;	  /* its shard has asked the tunnel for it; until it is in the pool */
	bool in_pool;	  /* it counts there */
	bool placed;	  /* the shard for its flow has been chosen */
	bool again;	  /* the record in .reader is to be taken once more, by .to */
	uint8_t hops;	  /* shards that have not known the flow it is to join */
	struct shard *to; /* it goes there at the end of the turn; NULL: it stays */
	uint8_t *rest;	  /* what was read and not taken when it went */
	size_t rest_len;
	enum stream_state state;
	struct relay *relay;
	uint32_t flow, generation;
	uint8_t stripe;		 /* which of its flow's */
	unsigned stalled;	 /* looks at which it stood still */
	uint64_t looked_ns;	 /* the last one */
	uint64_t left_ns;	 /* since when the peer's last word is awaited */
	uint64_t sent, received; /* bytes of DATA for its flow */
	uint64_t rate;		 /* bytes a second that it carries; 0: not known */
	SSL *ssl;
	struct loop_io io;
	struct record_reader reader;
	struct chunk *out; /* records to be sealed and sent; NULL: none */
	uint64_t born_ns, closing_ns;
	uint64_t flows;		    /* it has served */
	struct credit_meter meter;  /* of what is sent for its flow */
	uint32_t unsent_limit;	    /* TCP_NOTSENT_LOWAT, as it is set */
	uint64_t wrote;		    /* bytes, before TLS */
	uint64_t wrote_before;	    /* at the last look of share.c */
	uint64_t paced;		    /* bytes a second; 0: as fast as it goes */
	bool active;		    /* it wrote between the last two looks */
	uint32_t instance;	    /* of the peer's process; 0: not known yet */
	uint64_t rtt_ns, rtt_at_ns; /* smoothed round trip, and when the kernel said so */
	bool padding;		    /* its window is being grown */
	bool grown;		    /* …has been */
	uint64_t padded;	    /* bytes of padding it was sent */
	uint32_t retransmits;	    /* there were before */
	struct stream *prev, *next, *next_pending, *next_said, *next_lazy;
	struct stream *next_dead, *next_leaving;
	struct stream *warmer, *colder; /* among a pool's idle ones */
};

/* A shard's streams to a peer. Other threads look at what is atomic. */
struct pool {
	_Atomic unsigned all;	 /* streams, those that are on their way to it, too */
	_Atomic unsigned asked;	 /* of the tunnel, not yet come */
	_Atomic unsigned coming; /* of them on their way from the tunnel */
	_Atomic unsigned idle;	 /* those that we open on */
	unsigned streams;	 /* likewise, not only idle ones */
	unsigned overdue;	 /* of those asked for: longer ago than asked_ns */
	uint64_t asked_ns;
	unsigned waiting; /* flows without a stream */
	struct demand demand;
	struct stream *warmest, *coldest; /* of the idle ones: that was used last, and so on */
	uint64_t padded;		  /* bytes of padding sent, in all */
	uint64_t padded_before, hour_ns;  /* …before this hour, and when it began; 0: not yet */
};

/* What a peer remembers, and what is to be told to it. */
struct peer_memory {
	uint32_t instance;  /* when its process began (memory.c); 0: not met yet */
	unsigned streams;   /* that lead to it */
	unsigned ending;    /* rounds under way that break streams to an earlier process */
	bool owed;	    /* it has not been told yet what was lost with the earlier one */
	bool told;	    /* it has said which connections it knew to be accelerated */
	bool knows;	    /* …and that it knows of all */
	struct tuple *lost; /* connections that were lost with it */
	unsigned n_lost, room_lost;
	bool lost_some; /* more than could be remembered */
};

struct accel_counts {
	_Atomic uint64_t bypassed[ACCEL_REASON_COUNT];
	_Atomic uint64_t opened, accepted, refused, closed, reset, unauthorised, moved;
	_Atomic uint64_t stray, resets_sent, acks_sent, tap_dropped, tap_lost, overrun, protocol;
	_Atomic uint64_t stripes_joined, stripes_lost;
};

/* What one relay thread owns. Other threads look at what is atomic. */
struct shard {
	struct accel *a;
	struct loop *loop;
	pthread_t thread;
	bool running;
	unsigned index;
	_Atomic unsigned n_relays, n_streams;
	_Atomic unsigned n_stay;      /* relays that have lasted for more than a second */
	_Atomic unsigned news;	      /* handed over and not yet seen */
	_Atomic unsigned busy_tenths; /* of a processor, in the last tick */
	counter bytes_out, bytes_in;
	uint64_t processor_ns; /* that it has used by the last tick */
	uint64_t tick_ns, second_ns;
	struct flow_list flows; /* entries of the table */
	struct relay *relays;
	struct stream *streams;
	struct pool pools[ACCEL_PEERS_MAX];
	struct relay *pending_relays;
	struct stream *pending_streams;
	struct stream *said; /* streams on which something was said in this turn */
	struct stream *lazy; /* …that nobody waits for */
	struct loop_timer lazy_timer;
	struct stream *leaving;	    /* streams that go to others at the end of the turn */
	struct relay *ended_relays; /* to be freed at the end of the turn */
	struct stream *dead_streams;
	struct loop_timer tick, share_timer;
	uint64_t shared_ns;
	_Atomic uint64_t sent_bps[ACCEL_PEERS_MAX]; /* lately, by its streams */
	_Atomic unsigned active[ACCEL_PEERS_MAX];   /* of them have sent something */
	uint64_t moved;				    /* bytes, to and from hosts */
	uint64_t ticked;			    /* …by the last tick */
	uint64_t turn_ns;   /* when the last turn with something to read began */
	uint64_t last_turn; /* bytes moved by then */
	bool busy;	    /* they are many */
	uint64_t busy_ns;   /* when there were flows last */
	uint8_t *scratch;   /* what is read from streams */
	struct chunks chunks;
};

/* What they share. */
struct accel {
	struct accel_conf conf;
	struct accel_host host;
	struct shard *shards;
	unsigned n_shards;
	bool started;
	sem_t ready, go, others_go;
	int ready_ret;
	struct err ready_err;
	struct stack stack;
	struct flow_table flows;
	struct journal *journal;    /* NULL: none */
	uint32_t instance;	    /* when it began: tells it from other lives */
	_Atomic uint32_t next_flow; /* numbers of flows that we open, to whichever peer */
	struct accel_counts counts;
	_Atomic uint64_t quarantine_until_ns; /* 0: none */
	_Atomic bool brief;		      /* connections do not last, as of late */
	uint64_t ended;			      /* of them at the last look */
	struct crowd crowd;		      /* clients here */
	struct credit_budget budget;	      /* windows */
	struct credit_budget buffers;	      /* of sockets to hosts */
	_Atomic unsigned n_relays;
	_Atomic unsigned n_streams;
	struct limits limits;
	struct limits_tide tide;     /* the first shard's */
	pthread_mutex_t memory_lock; /* of the journal, and of: */
	struct peer_memory memories[ACCEL_PEERS_MAX];
	_Atomic uint64_t path_ns[ACCEL_PEERS_MAX]; /* when the path became another */
	_Atomic uint64_t rtt_ns[ACCEL_PEERS_MAX];  /* as a stream has measured it; 0: not yet */
	_Atomic uint64_t share[ACCEL_PEERS_MAX];   /* of a peer's rate, bytes a second, for its
						      streams; 0: not divided yet */
	_Atomic bool stopping;
	BIO_METHOD *inbox, *outbox;
};

/* Something to be done by every relay thread. */
struct errand {
	void (*run)(struct shard *sh, const struct errand *e);
	void (*done)(struct accel *a, const struct errand *e); /* by the last of them; or NULL */
	unsigned peer;
	uint32_t instance;
	struct flow_key key;
	_Atomic unsigned *n; /* what they count together */
	sem_t *sem;
};

/* A shard's part of what there is at most, or kept ready, at least one. */
static inline unsigned shard_part(const struct accel *a, unsigned n)
{
	return (n + a->n_shards - 1) / a->n_shards;
}

static inline uint32_t now_ms_of(uint64_t ns)
{
	return (uint32_t)(ns / NS_PER_MS);
}

static inline uint32_t now_ms(void)
{
	return now_ms_of(clock_ns());
}

/* accel.c */
void accel_sweep(struct shard *sh, uint64_t now);
void accel_second(struct shard *sh, uint64_t now);
void accel_everywhere(struct accel *a, const struct errand *e);
void accel_count_bypass(struct accel *a, enum accel_reason reason);

/* shard.c */
int shard_init(struct shard *sh, struct accel *a, struct err *e);
int shard_start(struct shard *sh, void *(*run)(void *shard), struct err *e);
void shard_run(struct shard *sh);
struct shard *shard_of_key(struct accel *a, const struct flow_key *key);
struct shard *shard_for_syn(struct accel *a, const struct flow_key *key);
struct shard *shard_for_open(struct shard *own);
void shard_stop(struct shard *sh);
void shard_drain(struct accel *a);
void shard_end_all(struct shard *sh);
void shard_release(struct shard *sh);
void shard_gather(struct shard *sh);

/* decide.c */
bool decide_syn(const struct accel_tag *tag, const struct frame *f, const struct packet *p,
		enum accel_reason *reason);
extern const char *const accel_reason_names[ACCEL_REASON_COUNT];
extern const char *const accel_reason_texts[ACCEL_REASON_COUNT];

/* news.c: what workers hand to the relay thread */
enum news_kind {
	NEWS_SYN,     /* a frame: a SYN that may begin something */
	NEWS_RST,     /* a client resets what is held */
	NEWS_FIN,     /* a host's FIN is withheld */
	NEWS_MOVED,   /* a MAC (in the key's local) is elsewhere now */
	NEWS_UNKNOWN, /* a segment from the middle of a connection, in quarantine */
	NEWS_BRIDGED, /* the peer bridges this one */
};
bool news_frame(struct shard *to, enum news_kind kind, unsigned tag, const struct frame *f);
bool news_key(struct shard *to, enum news_kind kind, const struct flow_key *key);

/* relay.c */
struct relay *relay_new(struct shard *sh, struct flow *f, enum life_role role);
void relay_event(struct relay *r, enum life_event ev);
void relay_give_up(struct relay *r);
void relay_syn(struct shard *sh, unsigned tag, struct frame *f, struct packet *p);
void relay_keep_syn(struct relay *r, const struct frame *f);
void relay_open(struct relay *r, struct stream *s);
void relay_opened_by_peer(struct stream *s, const struct open_record *o);
void relay_say_refused(struct stream *s, enum refuse why, const struct segment_error *e);
struct shard *relay_place_joining(struct stream *s, uint32_t number);
void relay_joined_by_peer(struct stream *s);
void relay_record(struct relay *r, struct stream *s, const struct record *rec,
		  const uint8_t *payload);
void relay_tick(struct relay *r, uint64_t now);
void relay_acceptable(void *ctx, uint32_t events);
void relay_end(struct relay *r);
void relay_free_ended(struct shard *sh);
void relay_moved(struct accel *a, const struct flow_key *key);
void relay_serve_waiting(struct shard *sh, unsigned peer);
struct shard *relay_place(struct stream *s, const struct open_record *o);
void relay_bridge(struct accel *a, struct flow *f, enum accel_reason reason);

/* memory.c: what is known of connections from before */
void memory_open(struct accel *a);
void memory_close(struct accel *a, bool clean);
bool memory_add(struct accel *a, struct flow *f, bool client_here);
void memory_remove(struct accel *a, struct flow *f);
void memory_forget(struct accel *a, struct flow *f);
void memory_lost(struct accel *a, struct flow *f, bool client_here);
void memory_met(struct stream *s, uint32_t instance);
void memory_left(const struct stream *s);
bool memory_is_earlier(const struct stream *s);
void memory_tuples(struct stream *s, const uint8_t *payload, uint32_t len);
void memory_told(struct stream *s, bool knows);
void memory_unknown(struct shard *sh, unsigned tag, struct frame *f, struct packet *p);
void memory_bridged(struct shard *sh, const struct flow_key *key);
void memory_tick(struct accel *a, uint64_t now);

/* pump.c */
void pump_attach(struct relay *r, int fd);
void pump_socket_ready(void *ctx, uint32_t events);
void pump_out(struct relay *r);
void pump_later(struct relay *r);
bool pump_in(struct relay *r, uint64_t offset, const uint8_t *bytes, size_t len, bool last);
bool pump_pass(struct relay *r, const uint8_t *bytes, size_t len, bool last);
void pump_flush(struct relay *r);
void pump_release(struct relay *r, bool abort);
void pump_check_acked(struct relay *r);
void pump_check_alive(struct relay *r, uint64_t now);
void pump_open_window(struct relay *r);

/* stream.c */
void stream_send(struct stream *s, enum record_type type, const void *payload, uint32_t len);
void stream_send_lazily(struct stream *s, enum record_type type);
void stream_send_lazy(struct shard *sh);
void stream_flush_said(struct shard *sh);
uint8_t *stream_room(struct stream *s);
void stream_said(struct stream *s, uint32_t len);
bool stream_takes_more(struct stream *s);
bool stream_flush(struct stream *s);
bool stream_is_flushed(const struct stream *s);
void stream_close_soon(struct stream *s);
void stream_break(struct stream *s, const char *why);
void stream_tick(struct stream *s, uint64_t now);
void stream_ask(const struct stream *s);
void stream_read(struct stream *s);
uint64_t stream_rtt_ns(struct stream *s);
void stream_destroy(struct stream *s);
void stream_free_dead(struct shard *sh);
void stream_enter(struct stream *s);
void stream_leave(struct stream *s);
void stream_count(struct shard *sh, unsigned peer, int n);
int stream_resume(struct stream *s, bool again, const uint8_t *read, size_t len);
void stream_retire(struct stream *s);

/* pool.c */
struct stream *stream_take(struct shard *sh, unsigned peer, uint32_t flow);
void stream_free_for_next(struct stream *s);
void stream_refill(struct shard *sh, unsigned peer);
void stream_join_pool(struct stream *s);
void stream_leave_pool(struct stream *s);
void stream_prefer(struct stream *s);

/* stream_move.c */
void stream_move(struct stream *s, struct shard *to);
void stream_send_off(struct shard *sh);
void stream_keep(struct stream *s, const uint8_t *at, size_t len);
void stream_borrow(struct shard *sh, unsigned peer);
struct shard *stream_asker(struct accel *a, unsigned peer);
struct shard *stream_fewest(struct accel *a, unsigned peer);

/* warm.c */
void warm_go(struct stream *s);
void warm_padded(struct stream *s);
void warm_tick(struct shard *sh, uint64_t now);

/* status.c */
json_t *status_leg(int fd);

/* share.c */
void share_start(struct shard *sh);

#endif
