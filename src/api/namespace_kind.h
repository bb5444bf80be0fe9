/* namespace_kind.h: the cluster singleton that holds all namespaces, as a kind of entity.
 *
 * One row per namespace: key = its id (UUID text), state = encoded state_Namespace. A transition writes one row, and its
 * delta is that same record; restore takes one row at a time and adds it to what is there. Namespaces are never removed.
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
};
struct namespaces_request {
    struct request base; /* business id empty, namespace number 0, kind ENTITY_NAMESPACES */
    const void    *input;
    struct bytes   name;
    struct bytes   record; /* out: the namespace after the change */
};
#endif
