/** Options with every default. */
#define IPCX_RING_OPTIONS_INIT { sizeof(ipcx_ring_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0 }

/** Figures to be filled. */
#define IPCX_STATS_INIT { sizeof(ipcx_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
