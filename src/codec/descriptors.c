/* descriptors.c: look-ups by scanning: reflection is called by people. */
#include "codec/descriptors.h"

static bool file_of(size_t index, struct bytes *ret)
{
    assert(index < pb_file_count);
    const struct pb_file *file = &pb_files[index];
    assert((size_t)file->offset + file->size <= pb_descriptors_size);
    *ret = bytes_of(pb_descriptors + file->offset, file->size);
    return true;
}

bool descriptor_find_file(struct bytes name, struct bytes *ret)
{
    for (size_t i = 0; i < pb_file_count; i++)
        if (bytes_equal_text(name, pb_names + pb_files[i].name))
            return file_of(i, ret);
    return false;
}

/* Splits "a.b.c" into "a.b" and "c". */
static bool split(struct bytes symbol, struct bytes *ret_scope, struct bytes *ret_name)
{
    for (size_t i = symbol.size; i-- > 0;)
        if (symbol.base[i] == '.' || symbol.base[i] == '/') {
            *ret_scope = bytes_of(symbol.base, i);
            *ret_name = bytes_of(symbol.base + i + 1, symbol.size - i - 1);
            return true;
        }
    return false;
}

static bool find_type(struct bytes symbol, struct bytes *ret)
{
    const struct pb_message *message = pb_message_find(symbol);
    const struct pb_enum    *type = pb_enum_find(symbol);
    if (message != NULL)
        return file_of(message->file, ret);
    return type != NULL && file_of(type->file, ret);
}

static bool find_service(struct bytes symbol, struct bytes scope, struct bytes name, struct bytes *ret)
{
    for (size_t i = 0; i < pb_method_count; i++) {
        const struct pb_method *method = &pb_methods[i];
        if (bytes_equal(symbol, method->service) ||
            (bytes_equal(scope, method->service) && bytes_equal(name, method->name)))
            return file_of(method->file, ret);
    }
    return false;
}

static bool find_member(struct bytes scope, struct bytes name, struct bytes *ret)
{
    const struct pb_message *message = pb_message_find(scope);
    for (size_t i = 0; message != NULL && i < message->field_count; i++)
        if (bytes_equal_text(name, pb_field_name(pb_message_fields(message) + i)))
            return file_of(message->file, ret);
    for (size_t i = 0; i < pb_enum_count; i++) { /* values stand beside their enum, not inside it */
        struct bytes outer, simple;
        if (!split(bytes_of_text(pb_names + pb_enums[i].name), &outer, &simple) || !bytes_equal(outer, scope))
            continue;
        for (size_t v = 0; v < pb_enums[i].value_count; v++)
            if (bytes_equal_text(name, pb_names + pb_enum_values[pb_enums[i].first_value + v].name))
                return file_of(pb_enums[i].file, ret);
    }
    return false;
}

bool descriptor_find_symbol(struct bytes symbol, struct bytes *ret)
{
    struct bytes scope, name;
    if (find_type(symbol, ret))
        return true;
    return split(symbol, &scope, &name) &&
           (find_service(symbol, scope, name, ret) || find_member(scope, name, ret));
}
