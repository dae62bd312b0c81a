"""Prior shift: a probability calibrated among some cases, corrected to how common the finding is among others.

Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities: a simple
procedure", Neural Computation 2002. It holds where people with the finding look alike in both places, and so do people
without it; of several classes it corrects one against all others.
"""

from __future__ import annotations


def local_probability(probability: float, prior: float, prevalence: float) -> float:
    """Correct a probability in [0, 1] from `prior` to `prevalence`, both in (0, 1).

    `prior` is the share that has the finding among the cases the probability was calibrated on. The odds change by the
    ratio of the two odds.
    """
    present = probability * prevalence * (1 - prior)
    absent = (1 - probability) * (1 - prevalence) * prior
    return present / (present + absent)
