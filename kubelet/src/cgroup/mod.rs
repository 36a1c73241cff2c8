//! Control groups of pods: names, limits, create and remove; v1 and v2.
