# SPDX-License-Identifier: Apache-2.0
"""What the interop and bus suites and the tutorial share: processes, buses, servers and clients, all with deadlines."""
