/*
 * Civil time by arithmetic (the proleptic Gregorian calendar in UTC), never through the C library's time zone or locale.
 * Everything between 0000-01-01 and 9999-12-31 has a text form; outside it there is a bug, since no input can bring it in.
 */
#include "core/time.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

#include "core/err.h"

static int64_t
clock_us(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) != 0)
		BUG("clock %d", (int)id);
	return (int64_t)ts.tv_sec * SECONDS_US + ts.tv_nsec / 1000;
}

int64_t
time_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

int64_t
time_monotonic_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

struct timespec
time_spec(int64_t at_us)
{
	return (struct timespec){.tv_sec = (time_t)(at_us / SECONDS_US), .tv_nsec = (long)(at_us % SECONDS_US) * 1000};
}

struct civil {
	int64_t year, month, day;
};

/* Days since 1970-01-01.  Years are counted from March, so that the leap day is a year's last (Howard Hinnant, "chrono-compatible
 * low-level date algorithms"). */
static int64_t
days_of(struct civil c)
{
	int64_t y = c.year - (c.month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (c.month + (c.month > 2 ? -3 : 9)) + 2) / 5 + c.day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static struct civil
civil_of(int64_t days)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t day_of_era = z - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month_from_march = (5 * day_of_year + 2) / 153;
	struct civil c = {
		.year = year_of_era + era * 400,
		.month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9,
		.day = day_of_year - (153 * month_from_march + 2) / 5 + 1,
	};

	c.year += c.month <= 2;
	return c;
}

static void
put_digits(char *to, int64_t v, int digits)
{
	while (digits-- > 0) {
		to[digits] = (char)('0' + v % 10);
		v /= 10;
	}
}

/* "YYYY-MM-DD HH:MM:SS", 19 characters; returns the microseconds that are left. */
static int64_t
put_seconds(int64_t at_us, char separator, char *to)
{
	int64_t days = at_us / DAYS_US, left = at_us % DAYS_US;

	if (left < 0) {
		left += DAYS_US;
		days--;
	}
	if (days < -719528 || days > 2932896)
		BUG("time %lld us has no text form", (long long)at_us);
	struct civil c = civil_of(days);
	put_digits(to, c.year, 4);
	to[4] = '-';
	put_digits(to + 5, c.month, 2);
	to[7] = '-';
	put_digits(to + 8, c.day, 2);
	to[10] = separator;
	put_digits(to + 11, left / HOURS_US, 2);
	to[13] = ':';
	put_digits(to + 14, left / MINUTES_US % 60, 2);
	to[16] = ':';
	put_digits(to + 17, left / SECONDS_US % 60, 2);
	return left % SECONDS_US;
}

void
time_to_wire(int64_t at_us, char ret[TIME_WIRE_BYTES + 1])
{
	(void)put_seconds(at_us, 'T', ret);
	ret[19] = 'Z';
	ret[20] = 0;
}

void
time_to_sql(int64_t at_us, char ret[TIME_SQL_BYTES + 1])
{
	int64_t micro = put_seconds(at_us, ' ', ret);

	ret[19] = '.';
	put_digits(ret + 20, micro, 6);
	ret[26] = 0;
}

/* Reads exactly `digits` digits and moves *s behind them. */
static bool
take_digits(const char **s, int digits, int64_t *ret)
{
	int64_t v = 0;

	for (int i = 0; i < digits; i++) {
		if ((*s)[i] < '0' || (*s)[i] > '9')
			return false;
		v = v * 10 + ((*s)[i] - '0');
	}
	*s += digits;
	*ret = v;
	return true;
}

static bool
take_char(const char **s, char c)
{
	if (**s != c)
		return false;
	++*s;
	return true;
}

static bool
take_date(const char **s, int64_t *ret_days)
{
	static const int8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	struct civil c;

	if (!take_digits(s, 4, &c.year) || !take_char(s, '-') || !take_digits(s, 2, &c.month) || !take_char(s, '-') ||
		!take_digits(s, 2, &c.day))
		return false;
	if (c.month < 1 || c.month > 12 || c.day < 1)
		return false;
	bool leap = c.year % 4 == 0 && (c.year % 100 != 0 || c.year % 400 == 0);
	if (c.day > month_days[c.month - 1] + (c.month == 2 && leap))
		return false;
	*ret_days = days_of(c);
	return true;
}

static bool
take_clock(const char **s, int64_t *ret_us)
{
	int64_t h, m, sec;

	if (!take_digits(s, 2, &h) || !take_char(s, ':') || !take_digits(s, 2, &m) || !take_char(s, ':') ||
		!take_digits(s, 2, &sec))
		return false;
	if (h > 23 || m > 59 || sec > 59)
		return false;
	*ret_us = h * HOURS_US + m * MINUTES_US + sec * SECONDS_US;
	return true;
}

/* ".ddd…"; digits beyond the sixth are cut.  Without the point nothing is taken. */
static bool
take_fraction(const char **s, size_t max_digits, int64_t *ret_us)
{
	int64_t v = 0;
	size_t n = 0;

	*ret_us = 0;
	if (!take_char(s, '.'))
		return true;
	for (; **s >= '0' && **s <= '9'; ++*s, n++)
		if (n < 6)
			v = v * 10 + (**s - '0');
	if (n == 0 || n > max_digits)
		return false;
	for (; n < 6; n++)
		v *= 10;
	*ret_us = v;
	return true;
}

static bool
take_offset(const char **s, int64_t *ret_us)
{
	int64_t h, m;

	*ret_us = 0;
	if (**s == 0 || take_char(s, 'Z') || take_char(s, 'z'))
		return true;
	bool west = **s == '-';
	if (!west && **s != '+')
		return false;
	++*s;
	if (!take_digits(s, 2, &h) || !take_char(s, ':') || !take_digits(s, 2, &m) || h > 23 || m > 59)
		return false;
	*ret_us = h * HOURS_US + m * MINUTES_US;
	if (west)
		*ret_us = -*ret_us;
	return true;
}

bool
time_parse(const char *s, bool end_of_day, int64_t *ret_us)
{
	const int64_t end_us = INT64_C(2932897) * DAYS_US; /* 10000-01-01 */
	int64_t days, clock, fraction, offset;

	if (!take_date(&s, &days))
		return false;
	int64_t at_us = days * DAYS_US;
	if (*s == 0) {
		if (end_of_day)
			at_us += DAYS_US - 1;
	} else {
		if (!take_char(&s, 'T') && !take_char(&s, 't') && !take_char(&s, ' '))
			return false;
		if (!take_clock(&s, &clock) || !take_fraction(&s, 32, &fraction) || !take_offset(&s, &offset) || *s != 0)
			return false;
		at_us += clock + fraction - offset;
	}
	if (at_us < 0 || at_us >= end_us)
		return false;
	*ret_us = at_us;
	return true;
}

bool
time_from_sql(const char *s, int64_t *ret_us)
{
	int64_t days, clock, fraction;

	if (!take_date(&s, &days) || !take_char(&s, ' ') || !take_clock(&s, &clock) || !take_fraction(&s, 6, &fraction))
		return false;
	if (*s != 0 && strcmp(s, "+00") != 0)
		return false;
	*ret_us = days * DAYS_US + clock + fraction;
	return true;
}
