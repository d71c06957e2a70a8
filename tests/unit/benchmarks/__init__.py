"""The benchmarks' own logic, without hosts."""
