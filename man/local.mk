# SPDX-License-Identifier: Apache-2.0
# p11-kms.1 is made from the program's own tables: src/cli/local.mk.
dist_man_MANS = man/p11-kmsd.8 man/p11-kms.yaml.5
