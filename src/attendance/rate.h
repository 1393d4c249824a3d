/* Private to attendance/: rates as the contract writes them. */
#ifndef MUSTER_ATTENDANCE_RATE_H
#define MUSTER_ATTENDANCE_RATE_H

#include <math.h>
#include <stdint.h>

/* 100 × part ÷ whole with one decimal; 0 of nothing is 0. */
static inline double
percent(int64_t part, int64_t whole)
{
	return whole > 0 ? round(1000.0 * (double)part / (double)whole) / 10.0 : 0.0;
}

#endif
