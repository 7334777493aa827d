/* Names, options, opening. */
#include "check.h"

static void create_open_attach_find_one_ring(void)
{
    const char *name = new_name();
    ipcx_ring *first, *second, *third;

    GIVES(IPCX_E_NOT_FOUND, ipcx_ring_attach(name, &first));
    SAYS(name);
    OK(ipcx_ring_create(name, NULL, &first));
    GIVES(IPCX_E_EXISTS, ipcx_ring_create(name, NULL, &second));
    CHECK(errno == EEXIST);
    OK(ipcx_ring_open(name, NULL, &second));
    OK(ipcx_ring_attach(name, &third));
    ipcx_ring_close(first);
    ipcx_ring_close(second);
    ipcx_ring_close(third);
    OK(ipcx_ring_attach(name, &first)); /* closing does not unlink */
    ipcx_ring_close(first);
    OK(ipcx_unlink(name));
    GIVES(IPCX_E_NOT_FOUND, ipcx_unlink(name));
    OK(ipcx_ring_open(name, NULL, &first)); /* and open creates */
    ipcx_ring_close(first);
}

static void outputs_are_written_only_on_success(void)
{
    ipcx_ring *untouched = (ipcx_ring *)&untouched, *ring = untouched;

    GIVES(IPCX_E_NOT_FOUND, ipcx_ring_attach(new_name(), &ring));
    GIVES(IPCX_E_INVALID, ipcx_ring_create("a/b", NULL, &ring));
    GIVES(IPCX_E_INVALID, ipcx_ring_from_fd(-1, &ring));
    CHECK(ring == untouched);
}

static void bad_names_are_invalid(void)
{
    static const char *const bad[] = { "", ".", "..", "-a", "_a", "a/b", "/a", "../a", "a b", "\xc3\xa4", "a\xff" };
    char longest[202];
    ipcx_ring *ring;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        GIVES(IPCX_E_INVALID, ipcx_ring_create(bad[i], NULL, &ring));
        GIVES(IPCX_E_INVALID, ipcx_ring_open(bad[i], NULL, &ring));
        GIVES(IPCX_E_INVALID, ipcx_ring_attach(bad[i], &ring));
        GIVES(IPCX_E_INVALID, ipcx_unlink(bad[i]));
    }
    memset(longest, 'x', sizeof longest);
    longest[201] = '\0';
    GIVES(IPCX_E_INVALID, ipcx_ring_create(longest, NULL, &ring));
}

static void a_null_is_invalid(void)
{
    const char *name = new_name();
    ipcx_ring *ring;

    GIVES(IPCX_E_INVALID, ipcx_ring_create(NULL, NULL, &ring));
    SAYS("NULL");
    GIVES(IPCX_E_INVALID, ipcx_ring_open(NULL, NULL, &ring));
    GIVES(IPCX_E_INVALID, ipcx_ring_attach(NULL, &ring));
    GIVES(IPCX_E_INVALID, ipcx_ring_create(name, NULL, NULL));
    GIVES(IPCX_E_INVALID, ipcx_ring_open(name, NULL, NULL));
    GIVES(IPCX_E_INVALID, ipcx_ring_attach(name, NULL));
    GIVES(IPCX_E_INVALID, ipcx_ring_anonymous(NULL, NULL));
    GIVES(IPCX_E_INVALID, ipcx_ring_from_fd(0, NULL));
    GIVES(IPCX_E_INVALID, ipcx_unlink(NULL));
    GIVES(IPCX_E_INVALID, ipcx_unlink_in("/dev/shm", NULL, NULL));
    GIVES(IPCX_E_NOT_FOUND, ipcx_ring_attach(name, &ring)); /* a NULL output makes nothing */
}

/* Creates with one field changed. */
#define WITH(field, value)                                     \
    do {                                                       \
        ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;    \
        ipcx_ring *ring;                                       \
        options.field = (value);                               \
        GIVES(IPCX_E_INVALID, ipcx_ring_create(name, &options, &ring));   \
        GIVES(IPCX_E_INVALID, ipcx_ring_open(name, &options, &ring));     \
        GIVES(IPCX_E_INVALID, ipcx_ring_anonymous(&options, &ring));      \
    } while (0)

static void bad_options_are_invalid_and_make_nothing(void)
{
    const char *name = new_name();
    char schema[65];
    ipcx_ring *ring;

    memset(schema, 's', sizeof schema);
    schema[64] = '\0';
    WITH(struct_size, 0);
    SAYS("_INIT");
    WITH(struct_size, 4);
    WITH(struct_size, sizeof(ipcx_ring_options) - 8);
    WITH(struct_size, UINT32_MAX);
    WITH(mode, 01777);
    WITH(max_participants, 4097);
    WITH(backing, 1);
    WITH(wait, 4);
    WITH(flags, 4);
    WITH(group, 1); /* without the flag */
    WITH(key, 1);
    WITH(schema, schema);
    WITH(schema, "\xff");
    WITH(capacity, (UINT64_C(1) << 31) + 1);
    WITH(capacity, UINT64_MAX);
    GIVES(IPCX_E_NOT_FOUND, ipcx_ring_attach(name, &ring));
}

static void a_larger_struct_is_refused_only_if_it_asks_for_more(void)
{
    struct {
        ipcx_ring_options known;
        uint64_t later;
    } options = { IPCX_RING_OPTIONS_INIT, 0 };
    const char *name = new_name();
    ipcx_ring *ring;

    options.known.struct_size = sizeof options;
    options.later = 1;
    GIVES(IPCX_E_INVALID, ipcx_ring_create(name, &options.known, &ring));
    SAYS("does not know");
    options.later = 0;
    OK(ipcx_ring_create(name, &options.known, &ring));
    ipcx_ring_close(ring);
}

static void a_ring_that_exists_must_have_what_is_asked_for(void)
{
    ipcx_ring_options options = IPCX_RING_OPTIONS_INIT, other = IPCX_RING_OPTIONS_INIT;
    const char *name = new_name();
    ipcx_ring *ring, *again;

    options.capacity = 8192;
    options.schema = "trade v1";
    options.max_participants = 4;
    OK(ipcx_ring_create(name, &options, &ring));

    options.flags = IPCX_OPT_MUST_EXIST;
    OK(ipcx_ring_open(name, &options, &again));
    ipcx_ring_close(again);
    OK(ipcx_ring_open(name, &other, &again)); /* all 0: as it is */
    ipcx_ring_close(again);
    other.schema = "trade v2";
    GIVES(IPCX_E_MISMATCH, ipcx_ring_open(name, &other, &again));
    other.flags = IPCX_OPT_MUST_EXIST;
    GIVES(IPCX_E_MISMATCH, ipcx_ring_open(name, &other, &again));
    other.schema = NULL;
    other.capacity = 16384;
    GIVES(IPCX_E_MISMATCH, ipcx_ring_open(name, &other, &again));
    other.capacity = 5000; /* rounded up to what it has */
    other.max_participants = 5;
    GIVES(IPCX_E_MISMATCH, ipcx_ring_open(name, &other, &again));
    other.max_participants = 4;
    OK(ipcx_ring_open(name, &other, &again));
    ipcx_ring_close(again);
    ipcx_ring_close(ring);
}

static void what_must_exist_is_not_created(void)
{
    ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
    const char *name = new_name();
    ipcx_ring *ring;

    options.flags = IPCX_OPT_MUST_EXIST;
    GIVES(IPCX_E_NOT_FOUND, ipcx_ring_open(name, &options, &ring));
    GIVES(IPCX_E_INVALID, ipcx_ring_create(name, &options, &ring));
    SAYS("IPCX_OPT_MUST_EXIST");
    GIVES(IPCX_E_INVALID, ipcx_ring_anonymous(&options, &ring));
    GIVES(IPCX_E_NOT_FOUND, ipcx_ring_attach(name, &ring));
}

static void the_mode_is_what_the_options_say(void)
{
    ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
    const char *first = new_name(), *second = new_name();
    struct stat facts;
    ipcx_ring *ring;

    OK(ipcx_ring_create(first, NULL, &ring));
    CHECK(stat(path_of(first), &facts) == 0 && (facts.st_mode & 07777) == 0600);
    ipcx_ring_close(ring);
    options.mode = 0660;
    options.flags = IPCX_OPT_GROUP;
    options.group = (uint32_t)getegid();
    OK(ipcx_ring_create(second, &options, &ring));
    CHECK(stat(path_of(second), &facts) == 0 && (facts.st_mode & 07777) == 0660 && facts.st_gid == getegid());
    ipcx_ring_close(ring);
}

static void a_directory_has_names_of_its_own(void)
{
    ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
    const char *name = new_name();
    char directory[128];
    ipcx_ring *ring;

    snprintf(directory, sizeof directory, "/dev/shm/%s", name);
    options.directory = directory;
    GIVES(IPCX_E_NOT_FOUND, ipcx_ring_create(name, &options, &ring));
    SAYS(directory);
    CHECK(mkdir(directory, 0700) == 0);
    OK(ipcx_ring_create(name, &options, &ring));
    ipcx_ring_close(ring);
    GIVES(IPCX_E_NOT_FOUND, ipcx_ring_attach(name, &ring));
    options.flags = IPCX_OPT_MUST_EXIST;
    OK(ipcx_ring_open(name, &options, &ring));
    ipcx_ring_close(ring);
    GIVES(IPCX_E_NOT_FOUND, ipcx_unlink_in(NULL, NULL, name));
    OK(ipcx_unlink_in(directory, NULL, name));
    GIVES(IPCX_E_NOT_FOUND, ipcx_unlink_in(directory, NULL, name));
    CHECK(rmdir(directory) == 0);
}

static void more_handles_than_slots_have_no_space(void)
{
    ipcx_ring_options options = IPCX_RING_OPTIONS_INIT;
    const char *name = new_name();
    ipcx_ring *ring, *again;

    options.max_participants = 1;
    OK(ipcx_ring_create(name, &options, &ring));
    GIVES(IPCX_E_NO_SPACE, ipcx_ring_attach(name, &again));
    ipcx_ring_close(ring);
    OK(ipcx_ring_attach(name, &again));
    ipcx_ring_close(again);
}

static void what_is_no_segment_is_corrupt_and_a_link_is_refused(void)
{
    const char *name = new_name(), *link = new_name();
    char page[8192] = "this is not a segment";
    int file = open(path_of(name), O_CREAT | O_EXCL | O_RDWR, 0600);
    ipcx_ring *ring;

    CHECK(file >= 0);
    GIVES(IPCX_E_CORRUPT, ipcx_ring_attach(name, &ring));
    CHECK(write(file, page, sizeof page) == sizeof page);
    GIVES(IPCX_E_CORRUPT, ipcx_ring_attach(name, &ring));
    GIVES(IPCX_E_CORRUPT, ipcx_ring_open(name, NULL, &ring));
    close(file);
    CHECK(symlink("/dev/null", path_of(link)) == 0);
    GIVES(IPCX_E_PERMISSION, ipcx_ring_attach(link, &ring));
}

static void another_layout_version_is_refused(void)
{
    const char *name = new_name();
    uint32_t version = ipcx_layout_version() + 1;
    ipcx_ring *ring;
    int file;

    OK(ipcx_ring_create(name, NULL, &ring));
    ipcx_ring_close(ring);
    file = open(path_of(name), O_RDWR);
    CHECK(file >= 0 && pwrite(file, &version, sizeof version, 16) == sizeof version);
    close(file);
    GIVES(IPCX_E_VERSION, ipcx_ring_attach(name, &ring));
    SAYS("its layout version is 2, and this ipcx has 1");
}

static void codes_have_words_and_the_library_a_version(void)
{
    CHECK(strcmp(ipcx_version(), IPCX_VERSION) == 0);
    CHECK(ipcx_layout_version() >= 1);
    for (int code = IPCX_OK; code >= IPCX_E_PANIC; code--) {
        for (int other = code - 1; other >= IPCX_E_PANIC; other--)
            CHECK(strcmp(ipcx_strerror(code), ipcx_strerror(other)) != 0);
    }
    CHECK(ipcx_strerror(1)[0] != '\0' && ipcx_strerror(-1000)[0] != '\0');
    CHECK(strcmp(ipcx_last_error(), "") == 0);
}

static void the_last_error_stays_until_the_next(void)
{
    ipcx_ring *ring;

    GIVES(IPCX_E_INVALID, ipcx_ring_attach("a/b", &ring));
    SAYS("a/b");
    OK(ipcx_ring_anonymous(NULL, &ring));
    SAYS("a/b");
    ipcx_ring_close(ring);
    ipcx_ring_close(NULL);
    SAYS("a/b");
}

static const struct test tests[] = {
    TEST(create_open_attach_find_one_ring),
    TEST(outputs_are_written_only_on_success),
    TEST(bad_names_are_invalid),
    TEST(a_null_is_invalid),
    TEST(bad_options_are_invalid_and_make_nothing),
    TEST(a_larger_struct_is_refused_only_if_it_asks_for_more),
    TEST(a_ring_that_exists_must_have_what_is_asked_for),
    TEST(what_must_exist_is_not_created),
    TEST(the_mode_is_what_the_options_say),
    TEST(a_directory_has_names_of_its_own),
    TEST(more_handles_than_slots_have_no_space),
    TEST(what_is_no_segment_is_corrupt_and_a_link_is_refused),
    TEST(another_layout_version_is_refused),
    TEST(codes_have_words_and_the_library_a_version),
    TEST(the_last_error_stays_until_the_next),
};

int main(void)
{
    return RUN(tests);
}
