/* namespace_kind.h: the cluster singleton that holds all namespaces, as a kind of entity.
 *
 * One row per namespace: key = its id (UUID text), state = encoded state_Namespace. A transition writes one row, and its
 * delta is that same record; restore takes one row at a time and adds it to what is there. A namespace that is deleted gets
 * another name at once, and is erased when its workflows are gone (retention.c).
 */
#ifndef API_NAMESPACE_KIND_H
#define API_NAMESPACE_KIND_H
#include "pb/all.pb.h"
#include "shard/entity.h"

#define NAMESPACES_MAX           10000
#define NAMESPACE_DATA_MAX       100
#define NAMESPACE_ATTRIBUTES_MAX 500

enum namespaces_command {
    NAMESPACES_REGISTER = 1,      /* in: workflowservice_RegisterNamespaceRequest */
    NAMESPACES_UPDATE,            /* in: workflowservice_UpdateNamespaceRequest */
    NAMESPACES_DEPRECATE,         /* in: the name */
    NAMESPACES_ADD_ATTRIBUTES,    /* in: operatorservice_AddSearchAttributesRequest */
    NAMESPACES_REMOVE_ATTRIBUTES, /* in: operatorservice_RemoveSearchAttributesRequest */
    NAMESPACES_DELETE,            /* in: operatorservice_DeleteNamespaceRequest, the name */
    NAMESPACES_ERASE, /* in: struct namespace_erasure, the name that it has since it was deleted */
};
/* Nothing is left of a namespace but these rows, and itself. */
struct namespace_erasure {
    const struct bytes *queues; /* keys of rows of kind ENTITY_TASK_QUEUE, which go */
    size_t              queue_count;
    bool                is_all; /* it goes, too */
};
struct namespaces_request {
    struct request base; /* business id empty, namespace number 0, kind ENTITY_NAMESPACES */
    const void    *input;
    struct bytes   name;
    struct bytes   record; /* out: the namespace after the change */
};
#endif
