# SPDX-License-Identifier: GPL-3.0-or-later
"""What bench/peers is made of: meters, the two ends (load and sink), and one file per relay."""
