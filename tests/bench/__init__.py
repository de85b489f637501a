# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""What scripts/bench measures, a subject in each file.

A subject names the scenarios (tests/scenarios.ini) whose guests measure for it, and has

  collect(logs)      what they have measured, as what can be written as JSON
  print_tables(data)
  plot(data, directory)
"""
