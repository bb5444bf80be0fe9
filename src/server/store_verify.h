/* store_verify.h: looking through a store's file, with the kinds of entities that this server has. */
#ifndef SERVER_STORE_VERIFY_H
#define SERVER_STORE_VERIFY_H
#include <stdio.h>

#include "base/buffer.h"

/* Prints each finding and what was looked at, as lines or as one JSON object, to standard output; progress to a terminal. ST_OK
 * when all of it was looked at, whatever was found. */
enum status store_verify(const char *path, bool json, uint64_t *ret_findings, struct error *error) MUST_USE;
/* What comes from a damaged file may be no text: then its odd bytes are printed as question marks. */
void print_readable(FILE *to, struct buffer *text);
#endif
