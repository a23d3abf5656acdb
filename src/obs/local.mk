# SPDX-License-Identifier: Apache-2.0
# Log (audit and metrics to come). Stands on base alone.
