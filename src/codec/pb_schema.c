/* pb_schema.c: look-ups in the generated tables. */
#include "codec/pb_schema.h"

const struct pb_field *pb_field_find(const struct pb_message *message, uint32_t number)
{
    const struct pb_field *fields = pb_message_fields(message);
    size_t                 low = 0, high = MIN((size_t)message->field_count, (size_t)number);
    if (high != 0 && fields[high - 1].number == number) /* numbers are mostly 1, 2, 3 and so on */
        return &fields[high - 1];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (fields[middle].number == number)
            return &fields[middle];
        if (fields[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct pb_message *pb_message_find(struct bytes full_name)
{
    for (size_t i = 0; i < pb_message_count; i++)
        if (pb_messages[i].shape != PB_SHAPE_MAP_ENTRY &&
            bytes_equal_text(full_name, pb_names + pb_messages[i].name))
            return &pb_messages[i];
    return NULL;
}

const struct pb_enum *pb_enum_find(struct bytes full_name)
{
    for (size_t i = 0; i < pb_enum_count; i++)
        if (bytes_equal_text(full_name, pb_names + pb_enums[i].name))
            return &pb_enums[i];
    return NULL;
}

const char *pb_enum_value_name(const struct pb_enum *type, int32_t number)
{
    const struct pb_enum_value *values = pb_enum_values + type->first_value;
    size_t                      low = 0, high = type->value_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (values[middle].number == number)
            return pb_names + values[middle].name;
        if (values[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Whether SCREAMING_SNAKE text spells `camel` when its words are capitalized and joined: A_BC is "ABc". */
static bool camel_equals(const char *snake, struct bytes type_name, struct bytes tail)
{
    bool   starts_word = true;
    size_t at = 0, size = type_name.size + tail.size;
    for (; *snake != '\0'; snake++) {
        if (*snake == '_') {
            starts_word = true;
            continue;
        }
        char want = starts_word || *snake < 'A' || *snake > 'Z' ? *snake : (char)(*snake + ('a' - 'A'));
        if (at == size)
            return false;
        uint8_t have = at < type_name.size ? type_name.base[at] : tail.base[at - type_name.size];
        if (have != (uint8_t)want)
            return false;
        starts_word = false;
        at++;
    }
    return at == size;
}

bool pb_enum_value_find(const struct pb_enum *type, struct bytes name, int32_t *ret_number)
{
    const struct pb_enum_value *values = pb_enum_values + type->first_value;
    const char                 *full = pb_names + type->name, *dot = strrchr(full, '.');
    struct bytes                simple = bytes_of_text(dot == NULL ? full : dot + 1);
    for (size_t pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < type->value_count; i++) {
            const char *value = pb_names + values[i].name;
            if (pass == 0 ? bytes_equal_text(name, value) : camel_equals(value, simple, name)) {
                *ret_number = values[i].number;
                return true;
            }
        }
    return false;
}

const struct pb_method *pb_method_find(struct bytes path)
{
    size_t low = 0, high = pb_method_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int    order = bytes_compare(path, pb_methods[middle].path);
        if (order == 0)
            return &pb_methods[middle];
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
