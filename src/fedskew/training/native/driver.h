/* What every generated file includes first: the kernels, and memory that is aligned, zeroed and padded to a whole unit. */
#ifndef FEDSKEW_DRIVER_H
#define FEDSKEW_DRIVER_H

#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "convolution.h"
#include "correlate.h"
#include "elementwise.h"
#include "linear.h"
#include "loss.h"
#include "minimal.h"
#include "wide.h"

/* Large buffers are walked through with long steps, so they ask for large pages. */
static void *allocate(size_t bytes) {
    size_t unit = bytes >= 1 << 20 ? 1 << 21 : 64;
    size_t rounded = (bytes + unit - 1) / unit * unit;
    void *memory = aligned_alloc(unit, rounded);
#ifdef MADV_HUGEPAGE
    if (memory && unit > 64) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
    if (memory) memset(memory, 0, rounded); /* borders stay zero for ever: kernels write inside only */
    return memory;
}

#endif
