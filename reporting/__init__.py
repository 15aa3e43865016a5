"""What people look at: progress lines, tables, TensorBoard summaries."""
