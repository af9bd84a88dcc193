/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fdb.c - the MAC table: which port or peer a MAC is behind */
/*
 * Theory of operation
 *
 * A table for all tags, keyed by (tag, VLAN, MAC): VLANs learn independently,
 * since one router may show the same MAC in several. Workers look up and
 * refresh without locks (liburcu's resizable hash table); learning, moving,
 * ageing and removing take the one lock, and are rare.
 *
 * An entry's place changes only under the lock, but is read without it: the
 * field is atomic, and a reader that is a moment late sends one frame where
 * the MAC was. Every thread that calls in here is registered with liburcu.
 *
 * A MAC moves
 *   at once          when it announces itself elsewhere (RARP, gratuitous ARP,
 *                    unsolicited neighbour advertisement): a VM has migrated;
 *   when it is quiet otherwise: see FDB_ACTIVE_MS;
 *   never            back to the place it has just left, for FDB_HOLD_DOWN_MS:
 *                    frames still on their way would undo the move.
 */
#include "tunnel/fdb.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#define _LGPL_SOURCE /* inline read-side primitives; allowed under our licence */
#include <urcu.h>
#include <urcu/rculfhash.h>
#include <xxhash.h>

#define BUCKETS_MIN 64

/* Times closer than this to the one remembered are not written: keeps the cache line shared. */
#define SEEN_STEP_MS 16

struct entry {
	struct fdb_key key;
	_Atomic fdb_place place;
	_Atomic uint32_t seen_ms;
	_Atomic bool kept; /* for FDB_KEPT_MS at least */
	fdb_place left;	   /* where it was before its last move; under the lock, as all below */
	bool moved;
	uint32_t moved_ms;
	uint32_t moves;
	struct cds_lfht_node node;
	struct rcu_head rcu;
};

struct fdb {
	struct cds_lfht *table;
	uint64_t seed; /* so that nobody outside can aim at one bucket */
	pthread_mutex_t lock;
	_Atomic uint32_t counts[FDB_PLACES];
};

_Static_assert(sizeof(struct fdb_key) == 12, "hashed whole, so it has no holes");

/* Makes an empty table; NULL when memory is short. */
struct fdb *fdb_new(void)
{
	struct fdb *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	if (getrandom(&f->seed, sizeof(f->seed), 0) != sizeof(f->seed))
		f->seed = (uintptr_t)f;
	pthread_mutex_init(&f->lock, NULL);
	/* Without accounting it stops growing early, and chains get longer and longer. */
	f->table = cds_lfht_new(BUCKETS_MIN, BUCKETS_MIN, 0,
				CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, NULL);
	if (!f->table) {
		free(f);
		return NULL;
	}
	return f;
}

/* The entry that an iterator has come to; NULL at the end. */
static struct entry *entry_at(struct cds_lfht_iter *it)
{
	struct cds_lfht_node *node = cds_lfht_iter_get_node(it);
	struct entry *e = node ? caa_container_of(node, struct entry, node) : NULL;

	/* Who has read an entry's place sees all that was written before: add() writes it last. */
	if (e)
		(void)atomic_load_explicit(&e->place, memory_order_acquire);
	return e;
}

/* liburcu's own macro looks for the entry around a null pointer at its end. */
#define fdb_for_each(f, it, e) \
	for (cds_lfht_first((f)->table, it); (e = entry_at(it)); cds_lfht_next((f)->table, it))

static void entry_free(struct rcu_head *head)
{
	free(caa_container_of(head, struct entry, rcu));
}

/* Takes an entry out. Under the lock, in a read-side critical section. */
static void entry_remove(struct fdb *f, struct entry *e)
{
	if (cds_lfht_del(f->table, &e->node))
		return;
	atomic_fetch_sub(&f->counts[e->place], 1);
	call_rcu(&e->rcu, entry_free);
}

/* Removes the entries for which @doomed says so. */
static void remove_if(struct fdb *f, bool (*doomed)(const struct entry *e, uint32_t a, uint32_t b),
		      uint32_t a, uint32_t b)
{
	struct cds_lfht_iter it;
	struct entry *e;

	pthread_mutex_lock(&f->lock);
	rcu_read_lock();
	fdb_for_each(f, &it, e)
		if (doomed(e, a, b))
			entry_remove(f, e);
	rcu_read_unlock();
	pthread_mutex_unlock(&f->lock);
}

static bool doomed_all(const struct entry *e, uint32_t a, uint32_t b)
{
	return true;
}

/*
 * Milliseconds from one time to another, on a clock that wraps. Threads read
 * the clock at different moments: what another has seen a little later than
 * our own now is 0 ago, not 49 days.
 */
static uint32_t since(uint32_t then_ms, uint32_t now_ms)
{
	return (int32_t)(now_ms - then_ms) > 0 ? now_ms - then_ms : 0;
}

static uint32_t silent_for(const struct entry *e, uint32_t now_ms)
{
	return since(atomic_load_explicit(&e->seen_ms, memory_order_relaxed), now_ms);
}

static bool doomed_old(const struct entry *e, uint32_t max_age_ms, uint32_t now_ms)
{
	if (atomic_load_explicit(&e->kept, memory_order_relaxed) && max_age_ms < FDB_KEPT_MS)
		max_age_ms = FDB_KEPT_MS;
	return silent_for(e, now_ms) > max_age_ms;
}

static bool doomed_place(const struct entry *e, uint32_t place, uint32_t unused)
{
	return e->place == place;
}

/* Frees a table that no thread uses any more. */
void fdb_free(struct fdb *f)
{
	if (!f)
		return;
	remove_if(f, doomed_all, 0, 0);
	rcu_barrier();
	cds_lfht_destroy(f->table, NULL);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static int key_equal(struct cds_lfht_node *node, const void *key)
{
	return !memcmp(&caa_container_of(node, struct entry, node)->key, key,
		       sizeof(struct fdb_key));
}

/* Finds an entry; valid until rcu_read_unlock(). */
static struct entry *find(struct fdb *f, const struct fdb_key *key, unsigned long hash)
{
	struct cds_lfht_iter it;

	cds_lfht_lookup(f->table, hash, key_equal, key, &it);
	return entry_at(&it);
}

static unsigned long hash_key(const struct fdb *f, const struct fdb_key *key)
{
	return XXH3_64bits_withSeed(key, sizeof(*key), f->seed);
}

/* Adds a MAC not seen before. Under the lock. */
static enum fdb_verdict add(struct fdb *f, const struct fdb_key *key, unsigned long hash,
			    fdb_place place, uint64_t max_macs, uint32_t now_ms)
{
	struct entry *e;

	if (atomic_load(&f->counts[place]) >= max_macs)
		return FDB_FULL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return FDB_FULL;
	e->key = *key;
	e->left = FDB_NOWHERE;
	atomic_store_explicit(&e->seen_ms, now_ms, memory_order_relaxed);
	atomic_store_explicit(&e->place, place, memory_order_release);
	cds_lfht_add(f->table, hash, &e->node);
	atomic_fetch_add(&f->counts[place], 1);
	return FDB_NEW;
}

/* Decides about a MAC heard at another place than the table has it. Under the lock. */
static enum fdb_verdict move(struct fdb *f, struct entry *e, fdb_place place, bool announced,
			     uint64_t max_macs, uint32_t now_ms)
{
	fdb_place old = e->place;

	if (e->moved && e->left == place && since(e->moved_ms, now_ms) < FDB_HOLD_DOWN_MS)
		return FDB_LATE;
	if (!announced && silent_for(e, now_ms) < FDB_ACTIVE_MS)
		return FDB_CONFLICT;
	if (atomic_load(&f->counts[place]) >= max_macs)
		return FDB_FULL;
	e->left = old;
	e->moved = true;
	e->moved_ms = now_ms;
	e->moves++;
	atomic_store(&e->place, place);
	atomic_store(&e->seen_ms, now_ms);
	atomic_fetch_sub(&f->counts[old], 1);
	atomic_fetch_add(&f->counts[place], 1);
	return FDB_MOVED;
}

/*
 * Takes note of a frame's source.
 * @key:       its source MAC, VLAN and tag
 * @place:     where it came from
 * @announced: the frame announces the MAC there (RARP, gratuitous ARP, …)
 * @max_macs:  most MACs that may be learnt behind @place
 * @now_ms:    a clock in milliseconds that may wrap
 *
 * Returns what is to become of table and frame; see enum fdb_verdict.
 */
enum fdb_verdict fdb_learn(struct fdb *f, const struct fdb_key *key, fdb_place place,
			   bool announced, uint64_t max_macs, uint32_t now_ms)
{
	unsigned long hash = hash_key(f, key);
	enum fdb_verdict v = FDB_SAME;
	struct entry *e;

	rcu_read_lock();
	e = find(f, key, hash);
	if (e && atomic_load_explicit(&e->place, memory_order_relaxed) == place) {
		if (silent_for(e, now_ms) >= SEEN_STEP_MS)
			atomic_store_explicit(&e->seen_ms, now_ms, memory_order_relaxed);
	} else {
		pthread_mutex_lock(&f->lock);
		e = find(f, key, hash); /* another worker may have been here meanwhile */
		if (!e)
			v = add(f, key, hash, place, max_macs, now_ms);
		else if (e->place != place)
			v = move(f, e, place, announced, max_macs, now_ms);
		pthread_mutex_unlock(&f->lock);
	}
	rcu_read_unlock();
	return v;
}

/* Where a MAC is; FDB_NOWHERE if it is not known. Takes no lock. */
fdb_place fdb_lookup(struct fdb *f, const struct fdb_key *key)
{
	fdb_place place = FDB_NOWHERE;
	struct entry *e;

	rcu_read_lock();
	e = find(f, key, hash_key(f, key));
	if (e)
		place = atomic_load_explicit(&e->place, memory_order_relaxed);
	rcu_read_unlock();
	return place;
}

/* As fdb_lookup(); from now on the MAC is kept for FDB_KEPT_MS, however silent. */
fdb_place fdb_lookup_and_keep(struct fdb *f, const struct fdb_key *key)
{
	fdb_place place = FDB_NOWHERE;
	struct entry *e;

	rcu_read_lock();
	e = find(f, key, hash_key(f, key));
	if (e) {
		place = atomic_load_explicit(&e->place, memory_order_relaxed);
		atomic_store_explicit(&e->kept, true, memory_order_relaxed);
	}
	rcu_read_unlock();
	return place;
}

/* Forgets MACs that have been silent for longer than @max_age_ms, or FDB_KEPT_MS. */
void fdb_age(struct fdb *f, uint32_t max_age_ms, uint32_t now_ms)
{
	remove_if(f, doomed_old, max_age_ms, now_ms);
}

/* Forgets all that is behind a port or peer that has gone. */
void fdb_forget_place(struct fdb *f, fdb_place place)
{
	remove_if(f, doomed_place, place, 0);
}

/* How many MACs are known behind a place. */
size_t fdb_count(const struct fdb *f, fdb_place place)
{
	return atomic_load(&f->counts[place]);
}

/*
 * Calls @each for every MAC until it returns false. The table is copied first:
 * what @each does may take long, and learning must not wait for it.
 */
void fdb_list(struct fdb *f, uint32_t now_ms, bool (*each)(void *ctx, const struct fdb_entry *e),
	      void *ctx)
{
	struct cds_lfht_iter it;
	struct fdb_entry *all;
	struct entry *e;
	size_t n = 0, i, room = 0;

	pthread_mutex_lock(&f->lock); /* moves stand still, so that an entry is told as it is */
	for (i = 0; i < FDB_PLACES; i++)
		room += atomic_load(&f->counts[i]);
	all = calloc(room ? room : 1, sizeof(*all));
	rcu_read_lock();
	fdb_for_each(f, &it, e)
		if (all && n < room)
			all[n++] = (struct fdb_entry){.key = e->key,
						      .place = e->place,
						      .age_ms = silent_for(e, now_ms),
						      .moves = e->moves};
	rcu_read_unlock();
	pthread_mutex_unlock(&f->lock);
	for (i = 0; i < n && each(ctx, &all[i]); i++)
		;
	free(all);
}
