/* SPDX-License-Identifier: Apache-2.0 */
/* A shared library, and no PKCS#11 module. */
__attribute__((visibility("default"))) int no_module(void);

int no_module(void)
{
    return 0;
}
