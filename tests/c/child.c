/* Pipes to a child process. */
#include "check.h"

enum { SIZE = 1 << 20 };
#define SOON (20000 * MS)

static ipcx_child *start(const char *const *words, int32_t *pid)
{
    ipcx_child *child;

    OK(ipcx_child_start(words, pid, &child));
    return child;
}

/* Reads to the end, and closes; gives the exit status. */
static int rest_of(ipcx_child *child, char *output, size_t cap, size_t *read)
{
    int status = -1;
    size_t len;

    *read = 0;
    do {
        OK(ipcx_child_read(child, output + *read, cap - *read, &len, SOON));
        *read += len;
    } while (len > 0);
    OK(ipcx_child_close(child, &status));
    return status;
}

static void end_input(ipcx_child *child)
{
    size_t none = 99;

    OK(ipcx_child_write(child, NULL, 0, IPCX_NOWAIT, &none));
    CHECK(none == 0);
}

static void a_child_that_echoes_what_it_reads_blocks_nobody(void)
{
    static const char *const cat[] = { "cat", NULL };
    static char input[SIZE], output[SIZE + 1];
    ipcx_child *child = start(cat, NULL);
    size_t written = 0, len;

    for (size_t i = 0; i < SIZE; i++)
        input[i] = (char)(i * 2654435761u >> 13);
    while (written < SIZE) { /* nobody reads meanwhile */
        OK(ipcx_child_write(child, input + written, SIZE - written, SOON, &len));
        CHECK(len > 0);
        written += len;
    }
    end_input(child);
    GIVES(IPCX_E_CLOSED, ipcx_child_write(child, "x", 1, IPCX_NOWAIT, &len));
    CHECK(rest_of(child, output, sizeof output, &len) == 0 && len == SIZE && memcmp(input, output, SIZE) == 0);
}

static void a_conversation_with_a_child(void)
{
    static const char *const cat[] = { "cat", NULL };
    static const char *const lines[] = { "one", "two", "three" };
    ipcx_child *child = start(cat, NULL);
    char buffer[64];
    size_t len;

    for (int i = 0; i < 3; i++) {
        OK(ipcx_child_write(child, lines[i], strlen(lines[i]), IPCX_NOWAIT, &len));
        CHECK(len == strlen(lines[i]));
        OK(ipcx_child_read(child, buffer, sizeof buffer, &len, SOON));
        CHECK(len == strlen(lines[i]) && memcmp(buffer, lines[i], len) == 0);
    }
    GIVES(IPCX_E_AGAIN, ipcx_child_read(child, buffer, sizeof buffer, &len, IPCX_NOWAIT));
    GIVES(IPCX_E_TIMEDOUT, ipcx_child_read(child, buffer, sizeof buffer, &len, 20 * MS));
    OK(ipcx_child_close(child, NULL)); /* which ends the input */
}

static void no_shell_reads_the_words(void)
{
    static const char *const echo[] = { "echo", "$HOME; *", "'quoted'", NULL };
    static const char *const shell[] = { "/bin/sh", "-c", "exit 3", NULL };
    char output[64];
    size_t len;
    int status = rest_of(start(echo, NULL), output, sizeof output, &len);

    CHECK(status == 0 && len == 18 && memcmp(output, "$HOME; * 'quoted'\n", 18) == 0);
    status = rest_of(start(shell, NULL), output, sizeof output, &len);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3 && len == 0);
}

static void a_child_that_reads_no_more_is_told_without_a_signal(void)
{
    static const char *const none[] = { "true", NULL };
    static char input[SIZE];
    ipcx_child *child = start(none, NULL);
    int status = -1, code = IPCX_OK;
    size_t len;

    while (code == IPCX_OK)
        code = ipcx_child_write(child, input, SIZE, SOON, &len);
    CHECK(code == IPCX_E_CLOSED); /* SIGPIPE would have ended the test */
    OK(ipcx_child_close(child, &status));
    CHECK(status == 0);
}

static void one_that_does_not_end_is_killed(void)
{
    static const char *const slow[] = { "sleep", "1000", NULL };
    static char input[SIZE];
    int32_t pid = 0;
    ipcx_child *child = start(slow, &pid);
    size_t len;
    int status;

    OK(ipcx_child_write(child, input, SIZE, IPCX_NOWAIT, &len)); /* as much as a pipe takes */
    CHECK(len < SIZE);
    GIVES(IPCX_E_AGAIN, ipcx_child_write(child, input, SIZE, IPCX_NOWAIT, &len));
    GIVES(IPCX_E_TIMEDOUT, ipcx_child_write(child, input, SIZE, 20 * MS, &len));
    GIVES(IPCX_E_TIMEDOUT, ipcx_child_read(child, input, SIZE, &len, 20 * MS));
    CHECK(pid > 0 && kill(pid, SIGKILL) == 0);
    OK(ipcx_child_close(child, &status));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Where the parent's standard descriptors are closed, the pipes get their numbers. */
static void the_numbers_of_the_pipes_do_not_matter(void)
{
    static const char *const cat[] = { "cat", NULL };
    char output[8];
    size_t len;
    int saved[2] = { dup(0), dup(1) };
    ipcx_child *child;

    for (int closed = 0; closed < 3; closed++) {
        fflush(NULL);
        if (closed != 1)
            close(0);
        if (closed != 0)
            close(1);
        child = start(cat, NULL);
        OK(ipcx_child_write(child, "x", 1, IPCX_NOWAIT, &len));
        end_input(child);
        CHECK(rest_of(child, output, sizeof output, &len) == 0 && len == 1 && output[0] == 'x');
        CHECK(dup2(saved[0], 0) == 0 && dup2(saved[1], 1) == 1);
    }
}

static int under_valgrind(void)
{
    const char *loaded = getenv("LD_PRELOAD");

    return loaded != NULL && strstr(loaded, "vgpreload") != NULL;
}

static void bad_arguments_are_invalid_and_do_nothing(void)
{
    static const char *const none[] = { NULL }, *const missing[] = { "no-such-program", NULL },
                             *const folder[] = { "/tmp", NULL }, *const cat[] = { "cat", NULL };
    ipcx_child *child = NULL;
    char buffer[8];
    size_t len;

    GIVES(IPCX_E_INVALID, ipcx_child_start(NULL, NULL, &child));
    GIVES(IPCX_E_INVALID, ipcx_child_start(none, NULL, &child));
    GIVES(IPCX_E_INVALID, ipcx_child_start(cat, NULL, NULL));
    if (under_valgrind()) {
        printf("    skipped: under valgrind, posix_spawn() does not learn that a program did not start\n");
    } else {
        GIVES(IPCX_E_NOT_FOUND, ipcx_child_start(missing, NULL, &child));
        SAYS("no-such-program");
        GIVES(IPCX_E_PERMISSION, ipcx_child_start(folder, NULL, &child));
    }
    CHECK(child == NULL && waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD); /* nothing was started */
    GIVES(IPCX_E_INVALID, ipcx_child_write(NULL, "x", 1, IPCX_NOWAIT, &len));
    GIVES(IPCX_E_INVALID, ipcx_child_read(NULL, buffer, 8, &len, IPCX_NOWAIT));
    GIVES(IPCX_E_INVALID, ipcx_child_close(NULL, NULL));
    child = start(cat, NULL);
    GIVES(IPCX_E_INVALID, ipcx_child_write(child, "x", 1, -2, &len));
    GIVES(IPCX_E_INVALID, ipcx_child_write(child, "x", 1, IPCX_NOWAIT, NULL));
    GIVES(IPCX_E_INVALID, ipcx_child_write(child, NULL, 1, IPCX_NOWAIT, &len));
    GIVES(IPCX_E_INVALID, ipcx_child_read(child, NULL, 8, &len, IPCX_NOWAIT));
    CHECK(waitpid(-1, NULL, WNOHANG) == 0); /* it lives */
    signal(SIGCHLD, SIG_IGN);
    GIVES(IPCX_E_OS, ipcx_child_close(child, NULL));
}

static const struct test tests[] = {
    TEST(a_child_that_echoes_what_it_reads_blocks_nobody),
    TEST(a_conversation_with_a_child),
    TEST(no_shell_reads_the_words),
    TEST(a_child_that_reads_no_more_is_told_without_a_signal),
    TEST(one_that_does_not_end_is_killed),
    TEST(the_numbers_of_the_pipes_do_not_matter),
    TEST(bad_arguments_are_invalid_and_do_nothing),
};

int main(void)
{
    return RUN(tests);
}
