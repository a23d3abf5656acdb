/* SPDX-License-Identifier: Apache-2.0 */
/* The main of a fuzz target without libFuzzer: runs every file of the directories it is given. */
#include "cleanup.h"
#include "io.h"

#include <dirent.h>
#include <limits.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 };

static struct err replay_file(const char *path)
{
    size_t len;
    AUTO_FREE uint8_t *input = malloc(INPUT_MAX);
    if (!input)
        return err_make(ERR_EXHAUSTED, "malloc");
    TRY(file_read(path, input, INPUT_MAX, &len));
    /* A copy of the exact size, so that a sanitizer sees the first byte too many. */
    AUTO_FREE uint8_t *exact = malloc(len ? len : 1);
    if (!exact)
        return err_make(ERR_EXHAUSTED, "malloc");
    for (size_t i = 0; i < len; i++)
        exact[i] = input[i];
    (void)LLVMFuzzerTestOneInput(exact, len);
    return ERR_OK;
}

static int replay_directory(const char *path)
{
    int n = 0;
    DIR *directory = opendir(path);
    if (!directory)
        return -1;
    for (struct dirent *entry; n >= 0 && (entry = readdir(directory));) {
        char file[PATH_MAX];
        if (entry->d_name[0] == '.')
            continue;
        bool read = !err_is(path_join(path, entry->d_name, file, sizeof file)) &&
                    !err_is(replay_file(file));
        n = read ? n + 1 : -1;
    }
    (void)closedir(directory);
    return n;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int n = replay_directory(argv[i]);
        (void)printf("%s: %d inputs\n", argv[i], n);
        if (n <= 0)
            return 1;
    }
    return argc > 1 ? 0 : 2;
}
