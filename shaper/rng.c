// SPDX-License-Identifier: GPL-3.0-or-later
/* rng.c - seeded random numbers: xoshiro256++, one stream for each model */
#include "shaper/rng.h"

#include <math.h>

static uint64_t rotate(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

/* Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. */
static uint64_t splitmix64(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/*
 * Starts a sequence.
 * @seed:   what the user chose; any number
 * @stream: which of the seed's sequences: each model has its own, so that one
 *          model's setting never changes what another one draws
 *
 * The state is filled by splitmix64, as xoshiro's authors recommend; that is a
 * bijection of its counter, so at most one of four words in a row can be zero.
 */
void rng_seed(struct rng *r, uint64_t seed, uint32_t stream)
{
	/* An odd multiple that is none of splitmix64's own step, so that streams do not overlap. */
	uint64_t x = seed + stream * 0xd1342543de82ef95ull;
	unsigned i;

	for (i = 0; i < 4; i++)
		r->s[i] = splitmix64(&x);
}

/*
 * Returns 64 random bits.
 * Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM
 * Transactions on Mathematical Software 47 (2021), xoshiro256++ 1.0.
 */
uint64_t rng_u64(struct rng *r)
{
	uint64_t *s = r->s;
	uint64_t result = rotate(s[0] + s[3], 23) + s[0];
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

/*
 * Returns a number below @n (> 0), each equally likely: the product's upper half,
 * drawn again where the lower half shows that some results would get one more
 * chance. Lemire, "Fast random integer generation in an interval", ACM
 * Transactions on Modeling and Computer Simulation 29 (2019).
 */
uint64_t rng_below(struct rng *r, uint64_t n)
{
	unsigned __int128 m = (unsigned __int128)rng_u64(r) * n;

	if ((uint64_t)m < n) {
		uint64_t least = -n % n;

		while ((uint64_t)m < least)
			m = (unsigned __int128)rng_u64(r) * n;
	}
	return (uint64_t)(m >> 64);
}

/* Returns a multiple of 2^-53 in [0, 1): below p with probability p, never for 0, always for 1. */
double rng_unit(struct rng *r)
{
	return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

/* Returns a number in (0, 1), ends excluded and symmetric about 1/2: for quantiles. */
double rng_open_unit(struct rng *r)
{
	return ((double)(rng_u64(r) >> 12) + 0.5) * 0x1p-52;
}

/* Returns a standard normal number, within ±RNG_NORMAL_MAX; always takes one draw. */
double rng_normal(struct rng *r)
{
	return rng_normal_quantile(rng_open_unit(r));
}

/* Returns the probability that a standard normal number is at most @z. */
double rng_normal_cdf(double z)
{
	return 0.5 * erfc(-z * M_SQRT1_2);
}

/* c[0] + c[1] x + … + c[7] x⁷ */
static double polynomial(const double c[8], double x)
{
	double y = c[7];
	int i;

	for (i = 6; i >= 0; i--)
		y = y * x + c[i];
	return y;
}

/*
 * Returns the standard normal quantile of @p in (0, 1), to about 1 part in 10^16.
 * Wichura, "Algorithm AS 241: The percentage points of the normal distribution",
 * Applied Statistics 37 (1988), PPND16.
 */
double rng_normal_quantile(double p)
{
	static const double center[2][8] = {
		{3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
		 1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
		 3.3430575583588128105e4, 2.5090809287301226727e3},
		{1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
		 2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
		 5.2264952788528545610e3},
	};
	static const double middle[2][8] = {
		{1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
		 3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
		 2.27238449892691845833e-2, 7.74545014278341407640e-4},
		{1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
		 1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
		 1.05075007164441684324e-9},
	};
	static const double tail[2][8] = {
		{6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
		 2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
		 2.71155556874348757815e-5, 2.01033439929228813265e-7},
		{1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1,
		 1.48753612908506148525e-2, 7.86869131145613259100e-4, 1.84631831751005468180e-5,
		 1.42151175831644588870e-7, 2.04426310338993978564e-15},
	};
	double q = p - 0.5;
	double r, z;

	if (fabs(q) <= 0.425) {
		r = 0.180625 - q * q;
		return q * polynomial(center[0], r) / polynomial(center[1], r);
	}
	r = sqrt(-log(q < 0 ? p : 1 - p));
	if (r <= 5)
		z = polynomial(middle[0], r - 1.6) / polynomial(middle[1], r - 1.6);
	else
		z = polynomial(tail[0], r - 5) / polynomial(tail[1], r - 5);
	return q < 0 ? -z : z;
}
