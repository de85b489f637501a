# SPDX-License-Identifier: GPL-2.0-only
# Copyright (C) 2026 the twostage developers
"""The subjects that scripts/bench measures, one per file.

A subject names its scenarios (tests/bench/scenarios.ini), whose guests measure,
and has

  collect(logs)           the measurements in the logs, as data that JSON can
                          hold
  print_tables(data)
  plot(data, directory)

A subject whose guests are sampled from the host boots them by itself:

  measure(series)         write the logs; returns whether all went well
"""
