/* A program whose threads need more room than ipcx's own would have. */
#include "check.h"

/* Every thread of the program has these on its stack. */
static __thread char large[1 << 20];

static void thread_local_variables_leave_the_descriptor_its_thread(void)
{
    struct ends ends = new_ends(4096);
    struct pollfd fds = { -1, POLLIN, 0 };

    memset(large, 1, sizeof large);
    fds.fd = ipcx_consumer_poll_fd(ends.rx);
    CHECK(fds.fd >= 0 && poll(&fds, 1, 50) == 0);
    OK(ipcx_producer_send(ends.tx, "1", 1, IPCX_NOWAIT));
    CHECK(poll(&fds, 1, 2000) == 1 && fds.revents & POLLIN);
    expect(ends.rx, "1", 1);
    close_ends(&ends);
}

static const struct test tests[] = {
    TEST(thread_local_variables_leave_the_descriptor_its_thread),
};

int main(void)
{
    return RUN(tests);
}
