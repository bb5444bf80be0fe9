/* limits.h: the limits that more than one module knows. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

/* How deep messages may nest (protobuf and JSON): the default of most official implementations. */
#define MESSAGE_DEPTH_MAX 100
/* Of requests: what they carry comes back a few levels deeper, inside histories, and must still be readable there. */
#define REQUEST_DEPTH_MAX 90
/* A received message; what a gRPC peer accepts by default. */
#define MESSAGE_SIZE_MAX (4 * 1024 * 1024)
#endif
