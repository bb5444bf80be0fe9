/* message.h: two bytes of input choose a message type: the one whose name's hash is next to them. So an input goes on
 * meaning the same type when the schema gets more of them. */
#ifndef FUZZ_MESSAGE_H
#define FUZZ_MESSAGE_H
#include "base/hash.h"
#include "codec/pb.h"
#include "fuzz.h"

/* The entries of maps are no messages of their own. */
static UNUSED const struct pb_message *fuzz_message(uint16_t number)
{
    static const struct pb_message *table[65536];
    if (table[0] == NULL) {
        for (size_t i = 0; i < pb_message_count; i++) {
            const struct pb_message *message = &pb_messages[i];
            if (message->shape != PB_SHAPE_MAP_ENTRY)
                table[hash_stable(bytes_of_text(pb_message_name(message))) & 0xFFFF] = message;
        }
        const struct pb_message *next = NULL;
        for (size_t at = 2 * ARRAY_COUNT(table); at-- > 0;) { /* twice round: the ends meet */
            next = table[at % ARRAY_COUNT(table)] != NULL ? table[at % ARRAY_COUNT(table)] : next;
            table[at % ARRAY_COUNT(table)] = next;
        }
    }
    return table[number];
}
#endif
