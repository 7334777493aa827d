/** Options with every default. */
#define IPCX_RING_OPTIONS_INIT { sizeof(ipcx_ring_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0 }

/** Options with every default, but for the block size, which a new pool needs. */
#define IPCX_POOL_OPTIONS_INIT { sizeof(ipcx_pool_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0 }

/** Options with every default. */
#define IPCX_BUFFER_OPTIONS_INIT { sizeof(ipcx_buffer_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0 }

/** Options with every default: a mutex that comes back when its holder dies. */
#define IPCX_SEMAPHORE_OPTIONS_INIT { sizeof(ipcx_semaphore_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0 }

/** Options with every default. */
#define IPCX_TOPIC_OPTIONS_INIT { sizeof(ipcx_topic_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0 }
#define IPCX_SERVICE_OPTIONS_INIT { sizeof(ipcx_service_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0, 0 }
#define IPCX_QUEUE_OPTIONS_INIT { sizeof(ipcx_queue_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0, 0 }

/** Options with every default. */
#define IPCX_TRANSPORT_OPTIONS_INIT { sizeof(ipcx_transport_options), 0, 0, 0, 0, NULL }

/** Figures to be filled. */
#define IPCX_STATS_INIT \
    { sizeof(ipcx_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
