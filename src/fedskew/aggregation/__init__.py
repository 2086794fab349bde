"""A defence in three parts that compose: update transforms, an aggregator, a server learning-rate rule.

w_{t+1} = w_t + lr(deltas) * g(transform(deltas)), elementwise (paper, section II-A and III-C; docs/design.md).
"""
