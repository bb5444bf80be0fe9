/* features.c: the names of features. */
#include "features.h"

#include <string.h>

static const char *const names[SIM_FEATURE_COUNT] = {
#define X(identifier, name) [FEATURE_##identifier] = name,
    SIM_FEATURES(X)
#undef X
};

const char *sim_feature_name(enum sim_feature feature)
{
    return names[feature];
}

enum sim_feature sim_feature_named(const char *name, size_t size)
{
    int feature = 0;
    while (feature < SIM_FEATURE_COUNT &&
           (strncmp(names[feature], name, size) != 0 || names[feature][size] != '\0'))
        feature++;
    return (enum sim_feature)feature;
}
