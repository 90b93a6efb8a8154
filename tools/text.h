/* SPDX-License-Identifier: Apache-2.0 */
/* Text for terminals: width, ellipsis, harmless text, natural order, times in words. Pure functions; caller
 * frees what they return. */
#pragma once

#include "base/macros.h"
#include "base/time.h"

/* Terminal columns of UTF-8 text; a byte that is no UTF-8 counts as one. */
size_t text_width(const char *text);
/* text, or as much of it as fits with a `…` at its end; columns is at least 1. */
char *text_ellipsize(const char *text, size_t columns);
/* Control characters, also those that turn the direction of a line or have no width of their own, and bytes that
 * are no UTF-8 as \xNN of their bytes: nothing that a terminal obeys. */
char *text_printable(const char *text);

/* Order of a listing: by type, then by name with numbers compared as numbers (plc-2 before plc-10). */
int compare_devices(const char *type_a, const char *name_a, const char *type_b, const char *name_b);

/* A length of time in words of at most two units: "0s", "12s", "3min", "5h 3min", "2d 5h". */
char *duration_to_text(usec_t duration);
/* "3min ago" for a moment before now, "now" within a second, also for one that is less than a minute ahead;
 * else "3min ahead": a clock was set. */
char *ago_to_text(usec_t then, usec_t now);
/* Seconds as a decimal number greater than 0 and at most 10^7, in microseconds. -EINVAL, -ERANGE. */
int parse_seconds(const char *text, usec_t *ret);
