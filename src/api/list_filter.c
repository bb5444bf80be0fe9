/* list_filter.c: list queries into filter trees: a lexer, conditions, and two stacks for AND, OR, NOT and parentheses. */
#include "api/list_filter.h"

#include <stdio.h>

enum token_kind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_QUOTED_NAME,
    TOKEN_STRING,
    TOKEN_INTEGER,
    TOKEN_FRACTION,
    TOKEN_SIGN
};

struct token {
    enum token_kind kind;
    struct bytes    text; /* of strings: unescaped */
    size_t          at;   /* position, from 1 */
};
enum link_kind { LINK_OR, LINK_AND, LINK_NOT, LINK_PARENTHESIS }; /* in the order of their strength */

struct parser {
    struct bytes query;
    bool         of_workers, names_division;
    struct state_Namespace namespace;
    size_t               at;
    struct token         token; /* the one that is looked at */
    struct arena        *arena;
    struct error        *error;
    struct store_filter *operands[LIST_STACK_MAX];
    size_t               operand_count;
    enum link_kind       links[LIST_STACK_MAX];
    size_t               link_count;
};

static enum status fail(struct parser *parser, size_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static enum status fail(struct parser *parser, size_t at, const char *format, ...)
{
    char    text[ERROR_MESSAGE_SIZE_MAX / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return error_set(parser->error, ST_INVALID_ARGUMENT, "invalid query: %s at position %zu", text, at);
}

/* --- tokens --- */

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* In quotes, which inside are doubled or follow a backslash. */
static enum status take_string(struct parser *parser)
{
    struct bytes query = parser->query;
    size_t       begin = parser->at;
    uint8_t      quote = query.base[begin];
    uint8_t     *text = arena_alloc(parser->arena, query.size - begin);
    size_t       size = 0;
    if (text == NULL)
        return error_set(parser->error, ST_RESOURCE_EXHAUSTED,
                         "the query needs more memory than a call may use");
    for (parser->at = begin + 1; parser->at < query.size; parser->at++) {
        uint8_t c = query.base[parser->at];
        if (c == '\\' && quote != '`' && parser->at + 1 < query.size) {
            text[size++] = query.base[++parser->at];
        } else if (c == quote) {
            if (parser->at + 1 == query.size || query.base[parser->at + 1] != quote)
                break;
            text[size++] = quote;
            parser->at++;
        } else {
            text[size++] = c;
        }
    }
    if (parser->at == query.size)
        return fail(parser, begin + 1, "a string without its closing quote");
    parser->at++;
    parser->token = (struct token){ quote == '`' ? TOKEN_QUOTED_NAME : TOKEN_STRING, bytes_of(text, size),
                                    begin + 1 };
    return ST_OK;
}

static enum status take_number(struct parser *parser)
{
    struct bytes query = parser->query;
    size_t       begin = parser->at;
    bool         fraction = false;
    for (parser->at++; parser->at < query.size; parser->at++) {
        uint8_t c = query.base[parser->at];
        uint8_t before = query.base[parser->at - 1];
        if (c == '.' || c == 'e' || c == 'E')
            fraction = true;
        else if (!is_digit(c) && !((c == '-' || c == '+') && (before == 'e' || before == 'E')))
            break;
    }
    if (parser->at < query.size && is_letter(query.base[parser->at]))
        return fail(parser, begin + 1, "a number followed by letters (text needs quotes)");
    parser->token = (struct token){ fraction ? TOKEN_FRACTION : TOKEN_INTEGER,
                                    bytes_of(query.base + begin, parser->at - begin), begin + 1 };
    return ST_OK;
}

static enum status take_sign(struct parser *parser)
{
    static const char *const signs[] = { "<=", ">=", "!=", "<>", "=", "<", ">", "(", ")", "," };
    struct bytes rest = bytes_of(parser->query.base + parser->at, parser->query.size - parser->at);
    for (size_t i = 0; i < ARRAY_COUNT(signs); i++) {
        struct bytes sign = bytes_of_text(signs[i]);
        if (bytes_starts_with(rest, sign)) {
            parser->token = (struct token){ TOKEN_SIGN, bytes_of(rest.base, sign.size), parser->at + 1 };
            parser->at += sign.size;
            return ST_OK;
        }
    }
    return fail(parser, parser->at + 1, "unexpected character");
}

static enum status advance(struct parser *parser)
{
    struct bytes query = parser->query;
    while (parser->at < query.size && strchr(" \t\r\n", query.base[parser->at]) != NULL &&
           query.base[parser->at] != 0)
        parser->at++;
    if (parser->at == query.size) {
        parser->token = (struct token){ TOKEN_END, BYTES_EMPTY, query.size + 1 };
        return ST_OK;
    }
    uint8_t c = query.base[parser->at];
    if (c == '\'' || c == '"' || c == '`')
        return take_string(parser);
    if (is_digit(c) ||
        ((c == '-' || c == '+') && parser->at + 1 < query.size && is_digit(query.base[parser->at + 1])))
        return take_number(parser);
    if (!is_letter(c))
        return take_sign(parser);
    size_t begin = parser->at;
    while (parser->at < query.size &&
           (is_letter(query.base[parser->at]) || is_digit(query.base[parser->at]) ||
            query.base[parser->at] == '.' || query.base[parser->at] == '-'))
        parser->at++;
    parser->token = (struct token){ TOKEN_NAME, bytes_of(query.base + begin, parser->at - begin), begin + 1 };
    return ST_OK;
}

/* Keywords are those in any case. */
static bool is_word(const struct parser *parser, const char *word)
{
    const struct token *token = &parser->token;
    if (token->kind != TOKEN_NAME || token->text.size != strlen(word))
        return false;
    for (size_t i = 0; i < token->text.size; i++) {
        uint8_t c = token->text.base[i];
        if ((c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c) != word[i])
            return false;
    }
    return true;
}

static bool is_sign(const struct parser *parser, const char *sign)
{
    return parser->token.kind == TOKEN_SIGN && bytes_equal_text(parser->token.text, sign);
}

/* --- conditions --- */

/* System attributes come first: the namespace's own cannot have their names. Those that the server made may be named
 * without their "Temporal". */
static bool find_column(struct parser *parser, struct bytes name, struct list_column *ret_column)
{
    static const struct bytes prefix = BYTES("Temporal");
    if (list_column_find(name, parser->of_workers, ret_column))
        return true;
    if (parser->of_workers)
        return false;
    int32_t type = search_attribute_type(&parser->namespace, name);
    if (type == 0 && bytes_starts_with(name, prefix)) {
        name = bytes_of(name.base + prefix.size, name.size - prefix.size);
        if (list_column_find(name, false, ret_column))
            return true;
        type = search_attribute_type(&parser->namespace, name);
    } else if (type == 0) {
        name = arena_printf(parser->arena, "Temporal%.*s", BYTES_FMT(name));
        type = search_attribute_type(&parser->namespace, name);
    }
    if (type == 0)
        return false;
    *ret_column = list_column_of_attribute(name, type, parser->arena);
    return true;
}

static enum status take_column(struct parser *parser, struct list_column *ret_column)
{
    const struct token name = parser->token;
    *ret_column = (struct list_column){ .name = "" };
    if (name.kind != TOKEN_NAME && name.kind != TOKEN_QUOTED_NAME)
        return fail(parser, name.at, "a search attribute is expected");
    if (!find_column(parser, name.text, ret_column))
        return fail(parser, name.at, "search attribute \"%.*s\" is not defined, or cannot be filtered by",
                    BYTES_FMT(name.text));
    if (strcmp(ret_column->name, "TemporalNamespaceDivision") == 0)
        parser->names_division = true;
    return advance(parser);
}

static struct store_filter *filter_new(struct parser *parser, enum store_operator relation,
                                       const struct list_column *column)
{
    struct store_filter *filter = ARENA_NEW(parser->arena, struct store_filter);
    filter->relation = relation;
    filter->column = column == NULL ? 0 : column->column;
    filter->attribute = column == NULL ? NULL : column->attribute;
    return filter;
}

static void append_value(struct parser *parser, struct store_filter *filter, struct store_value value)
{
    size_t count = filter->value_count;
    if ((count & (count + 1)) == 0) { /* 0, 1, 3, 7 ...: make room for as many and one */
        struct store_value *values = ARENA_NEW_ARRAY(parser->arena, struct store_value, count * 2 + 1);
        for (size_t i = 0; i < count; i++)
            values[i] = filter->values[i];
        filter->values = values;
    }
    filter->values[filter->value_count++] = value;
}

static bool append_words(struct parser *parser, struct store_filter *filter, struct bytes text)
{
    struct bytes word;
    uint8_t      room[WORD_SIZE_MAX];
    size_t       before = filter->value_count;
    while (store_words_next(&text, room, &word))
        append_value(parser, filter,
                     (struct store_value){ .is_text = true, .text = arena_copy(parser->arena, word) });
    return filter->value_count != before;
}

static enum status add_value(struct parser *parser, const struct list_column *column,
                             struct store_filter *filter)
{
    const struct token token = parser->token;
    enum list_literal  literal;
    if (token.kind == TOKEN_STRING)
        literal = LITERAL_STRING;
    else if (token.kind == TOKEN_INTEGER)
        literal = LITERAL_INTEGER;
    else if (token.kind == TOKEN_FRACTION)
        literal = LITERAL_FRACTION;
    else if (is_word(parser, "TRUE") || is_word(parser, "FALSE"))
        literal = LITERAL_BOOL;
    else if (token.kind == TOKEN_NAME || token.kind == TOKEN_QUOTED_NAME)
        return fail(parser, token.at, "\"%.*s\" is no value (text needs quotes)", BYTES_FMT(token.text));
    else
        return fail(parser, token.at, "a value for %s is missing", column->name);
    struct store_value value;
    if (!list_value_convert(column, literal, token.text, parser->arena, &value))
        return fail(parser, token.at, "%s is of type %s, and \"%.*s\" is no such value", column->name,
                    list_type_name(column->type), BYTES_FMT(token.text));
    if (column->type != LIST_TEXT)
        append_value(parser, filter, value);
    else if (!append_words(parser, filter, value.text))
        return fail(parser, token.at, "\"%.*s\" has no words, and %s is a Text", BYTES_FMT(token.text),
                    column->name);
    return advance(parser);
}

static enum status parse_in(struct parser *parser, const struct list_column *column,
                            struct store_filter *filter)
{
    enum status status = advance(parser);
    if (status != ST_OK)
        return status;
    if (!is_sign(parser, "("))
        return fail(parser, parser->token.at, "IN needs values in parentheses");
    do {
        if ((status = advance(parser)) != ST_OK || (status = add_value(parser, column, filter)) != ST_OK)
            return status;
    } while (is_sign(parser, ","));
    if (!is_sign(parser, ")"))
        return fail(parser, parser->token.at, "the values of IN lack their closing parenthesis");
    return advance(parser);
}

static enum status parse_between(struct parser *parser, const struct list_column *column,
                                 struct store_filter *filter)
{
    enum status status;
    if ((status = advance(parser)) != ST_OK || (status = add_value(parser, column, filter)) != ST_OK)
        return status;
    if (!is_word(parser, "AND"))
        return fail(parser, parser->token.at, "BETWEEN lacks its AND");
    if ((status = advance(parser)) != ST_OK)
        return status;
    return add_value(parser, column, filter);
}

static enum status parse_is_null(struct parser *parser, const struct list_column *column,
                                 struct store_filter **ret_filter)
{
    enum status status = advance(parser);
    if (status != ST_OK)
        return status;
    bool negated = is_word(parser, "NOT");
    if (negated && (status = advance(parser)) != ST_OK)
        return status;
    if (!is_word(parser, "NULL"))
        return fail(parser, parser->token.at, "IS is followed by NULL or NOT NULL only");
    *ret_filter = filter_new(parser, negated ? STORE_IS_NOT_NULL : STORE_IS_NULL, column);
    return advance(parser);
}

static enum status parse_comparison(struct parser *parser, const struct list_column *column,
                                    struct store_filter **ret_filter)
{
    static const struct {
        const char         *sign;
        enum store_operator relation;
    } signs[] = { { "=", STORE_EQUAL },         { "!=", STORE_NOT_EQUAL },  { "<>", STORE_NOT_EQUAL },
                  { "<", STORE_LESS },          { "<=", STORE_LESS_EQUAL }, { ">", STORE_GREATER },
                  { ">=", STORE_GREATER_EQUAL } };
    for (size_t i = 0; i < ARRAY_COUNT(signs); i++) {
        if (!is_sign(parser, signs[i].sign))
            continue;
        enum store_operator relation = signs[i].relation;
        if (list_column_is_many(column) && relation != STORE_EQUAL && relation != STORE_NOT_EQUAL)
            return fail(parser, parser->token.at, "%.*s is not for %s, which may have several values",
                        BYTES_FMT(parser->token.text), column->name);
        if (column->type == LIST_TEXT) /* any of the words */
            relation = relation == STORE_EQUAL ? STORE_IN : STORE_NOT_IN;
        *ret_filter = filter_new(parser, relation, column);
        enum status status = advance(parser);
        return status != ST_OK ? status : add_value(parser, column, *ret_filter);
    }
    return fail(parser, parser->token.at, "an operator is expected after %s", column->name);
}

static enum status parse_condition(struct parser *parser, struct store_filter **ret_filter)
{
    struct list_column column;
    enum status        status = take_column(parser, &column);
    if (status != ST_OK)
        return status;
    if (is_word(parser, "IS"))
        return parse_is_null(parser, &column, ret_filter);
    bool negated = is_word(parser, "NOT");
    if (negated && (status = advance(parser)) != ST_OK)
        return status;
    if (is_word(parser, "IN")) {
        *ret_filter = filter_new(parser, negated ? STORE_NOT_IN : STORE_IN, &column);
        return parse_in(parser, &column, *ret_filter);
    }
    if (is_word(parser, "BETWEEN")) {
        if (list_column_is_many(&column))
            return fail(parser, parser->token.at, "BETWEEN is not for %s, which may have several values",
                        column.name);
        *ret_filter = filter_new(parser, negated ? STORE_NOT_BETWEEN : STORE_BETWEEN, &column);
        return parse_between(parser, &column, *ret_filter);
    }
    if (is_word(parser, "STARTS_WITH")) {
        if (column.type != LIST_KEYWORD && column.type != LIST_KEYWORDS && column.type != LIST_SCHEDULE)
            return fail(parser, parser->token.at, "STARTS_WITH is not for %s", column.name);
        *ret_filter = filter_new(parser, negated ? STORE_NOT_STARTS_WITH : STORE_STARTS_WITH, &column);
        status = advance(parser);
        return status != ST_OK ? status : add_value(parser, &column, *ret_filter);
    }
    if (negated)
        return fail(parser, parser->token.at, "NOT is followed by IN, BETWEEN or STARTS_WITH here");
    return parse_comparison(parser, &column, ret_filter);
}

/* --- the tree --- */

static void append_child(struct parser *parser, struct store_filter *parent, struct store_filter *child)
{
    size_t count = parent->child_count;
    if ((count & (count + 1)) == 0) {
        struct store_filter **children = ARENA_NEW_ARRAY(parser->arena, struct store_filter *, count * 2 + 1);
        for (size_t i = 0; i < count; i++)
            children[i] = parent->children[i];
        parent->children = children;
    }
    parent->children[parent->child_count++] = child;
}

/* Applies the operator on top. A chain of one operator becomes one node, so that it stays flat. */
static void reduce(struct parser *parser)
{
    enum link_kind      link = parser->links[--parser->link_count];
    enum store_operator relation = link == LINK_NOT ? STORE_NOT : link == LINK_AND ? STORE_AND : STORE_OR;
    assert(link != LINK_PARENTHESIS);
    struct store_filter *right = parser->operands[--parser->operand_count], *node;
    if (link == LINK_NOT) {
        node = filter_new(parser, STORE_NOT, NULL);
    } else {
        assert(parser->operand_count > 0);
        struct store_filter *left = parser->operands[--parser->operand_count];
        node = left;
        if (left->relation != relation) {
            node = filter_new(parser, relation, NULL);
            append_child(parser, node, left);
        }
    }
    append_child(parser, node, right);
    parser->operands[parser->operand_count++] = node;
}

static enum status push_link(struct parser *parser, enum link_kind link)
{
    if (parser->link_count == LIST_STACK_MAX || parser->operand_count == LIST_STACK_MAX)
        return fail(parser, parser->token.at, "the query is nested deeper than %d", LIST_STACK_MAX);
    parser->links[parser->link_count++] = link;
    return advance(parser);
}

static enum status close_parenthesis(struct parser *parser)
{
    while (parser->link_count > 0 && parser->links[parser->link_count - 1] != LINK_PARENTHESIS)
        reduce(parser);
    if (parser->link_count == 0)
        return fail(parser, parser->token.at, "a closing parenthesis without an opening one");
    parser->link_count--;
    return advance(parser);
}

/* Operators that bind as strongly or more are applied first. */
static enum status join(struct parser *parser, enum link_kind link)
{
    while (parser->link_count > 0 && parser->links[parser->link_count - 1] != LINK_PARENTHESIS &&
           parser->links[parser->link_count - 1] >= link)
        reduce(parser);
    return push_link(parser, link);
}

static bool is_tail(const struct parser *parser)
{
    return parser->token.kind == TOKEN_END || is_word(parser, "GROUP") || is_word(parser, "ORDER") ||
           is_word(parser, "LIMIT");
}

static enum status parse_expression(struct parser *parser)
{
    bool operand_next = true;
    for (;;) {
        enum status status;
        if (operand_next) {
            if (is_word(parser, "NOT"))
                status = push_link(parser, LINK_NOT);
            else if (is_sign(parser, "("))
                status = push_link(parser, LINK_PARENTHESIS);
            else if (parser->operand_count == LIST_STACK_MAX)
                status = fail(parser, parser->token.at, "the query is nested deeper than %d", LIST_STACK_MAX);
            else {
                status = parse_condition(parser, &parser->operands[parser->operand_count]);
                parser->operand_count += status == ST_OK;
                operand_next = false;
            }
        } else if (is_word(parser, "AND")) {
            status = join(parser, LINK_AND);
            operand_next = true;
        } else if (is_word(parser, "OR")) {
            status = join(parser, LINK_OR);
            operand_next = true;
        } else if (is_sign(parser, ")")) {
            status = close_parenthesis(parser);
        } else if (is_tail(parser)) {
            break;
        } else {
            return fail(parser, parser->token.at, "AND, OR or the end is expected");
        }
        if (status != ST_OK)
            return status;
    }
    while (parser->link_count > 0) {
        if (parser->links[parser->link_count - 1] == LINK_PARENTHESIS)
            return fail(parser, parser->token.at, "a closing parenthesis is missing");
        reduce(parser);
    }
    assert(parser->operand_count == 1);
    return ST_OK;
}

/* NULLs come last in either direction. */
static enum status parse_key(struct parser *parser, struct list_query *query)
{
    struct list_column column;
    size_t             at = parser->token.at;
    if (query->key_count == STORE_KEYS_MAX)
        return fail(parser, at, "more than %d search attributes after %s", STORE_KEYS_MAX,
                    query->is_grouped ? "GROUP BY" : "ORDER BY");
    enum status status = take_column(parser, &column);
    if (status != ST_OK)
        return status;
    if (column.type == LIST_TEXT || (!query->is_grouped && list_column_is_many(&column)))
        return fail(parser, at, "%s is of type %s, which has no order", column.name,
                    list_type_name(column.type));
    for (size_t i = 0; i < query->key_count; i++) {
        if (query->is_grouped && list_column_is_many(&column) && query->key_types[i] == LIST_KEYWORDS)
            return fail(parser, at, "GROUP BY takes one search attribute with several values");
    }
    query->key_types[query->key_count] = column.type;
    struct store_key *key = &query->keys[query->key_count++];
    *key = (struct store_key){ .column = column.column, .attribute = column.attribute };
    if (query->is_grouped || (!is_word(parser, "ASC") && !is_word(parser, "DESC")))
        return ST_OK;
    key->descending = is_word(parser, "DESC");
    return advance(parser);
}

static enum status parse_tail(struct parser *parser, struct list_query *query)
{
    enum status status;
    if (parser->token.kind == TOKEN_END)
        return ST_OK;
    if (is_word(parser, "LIMIT"))
        return fail(parser, parser->token.at, "LIMIT is not supported; use the page size");
    query->is_grouped = is_word(parser, "GROUP");
    const char *clause = query->is_grouped ? "GROUP" : "ORDER";
    if ((status = advance(parser)) != ST_OK)
        return status;
    if (!is_word(parser, "BY"))
        return fail(parser, parser->token.at, "%s lacks its BY", clause);
    do {
        if ((status = advance(parser)) != ST_OK || (status = parse_key(parser, query)) != ST_OK)
            return status;
    } while (is_sign(parser, ","));
    return parser->token.kind == TOKEN_END
               ? ST_OK
               : fail(parser, parser->token.at, "the end is expected after %s BY", clause);
}

static enum status parse(struct bytes text, bool of_workers, const struct namespace_config *namespace,
                         struct arena *arena, struct list_query *ret_query, struct error *error)
{
    struct parser parser = { .query = text, .of_workers = of_workers, .arena = arena, .error = error };
    enum status   status;
    *ret_query = (struct list_query){ 0 };
    if (text.size > LIST_QUERY_SIZE_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "invalid query: longer than %d bytes",
                         LIST_QUERY_SIZE_MAX);
    search_attributes_load(namespace, arena, &parser.namespace);
    if ((status = advance(&parser)) != ST_OK)
        return status;
    if (!is_tail(&parser)) {
        if ((status = parse_expression(&parser)) != ST_OK)
            return status;
        ret_query->filter = parser.operands[0];
    }
    status = parse_tail(&parser, ret_query);
    ret_query->names_division = parser.names_division;
    return status;
}

enum status list_query_parse(struct bytes text, const struct namespace_config *namespace, struct arena *arena,
                             struct list_query *ret_query, struct error *error)
{
    return parse(text, false, namespace, arena, ret_query, error);
}

enum status list_query_parse_workers(struct bytes text, struct arena *arena, struct store_filter **ret_filter,
                                     struct error *error)
{
    struct list_query query;
    enum status       status = parse(text, true, NULL, arena, &query, error);
    if (status == ST_OK && query.key_count != 0)
        status = error_set(error, ST_INVALID_ARGUMENT, "invalid query: workers are not ordered or grouped");
    if (status == ST_OK)
        status = store_filter_check(query.filter, error);
    *ret_filter = query.filter;
    return status;
}
