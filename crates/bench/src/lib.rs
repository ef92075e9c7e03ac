//! Data sets, ground truth and recall.
