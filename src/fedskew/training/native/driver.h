/* What every generated file includes first: the kernels, and memory that is aligned, zeroed and padded to a whole unit. */
#ifndef FEDSKEW_DRIVER_H
#define FEDSKEW_DRIVER_H

#include <stdlib.h>

#include "convolution.h"
#include "elementwise.h"
#include "linear.h"
#include "loss.h"
#include "wide.h"

static void *allocate(size_t bytes) {
    size_t rounded = (bytes + 63) / 64 * 64;
    void *memory = aligned_alloc(64, rounded);
    if (memory) memset(memory, 0, rounded); /* borders stay zero for ever: kernels write inside only */
    return memory;
}

#endif
