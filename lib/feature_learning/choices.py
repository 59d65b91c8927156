"""The words that an option can have.

They stand apart from what they mean, so that a parser, its help and its refusals need none of it:
torch takes seconds to import. The tables of what they mean have them as keys.
"""

METHODS = ("network", "mf", "mf-ard", "nngp")
TEACHERS = ("parity", "single-index")
ACTIVATIONS = ("relu", "linear", "erf", "tanh", "sigmoid")
SAMPLERS = (
    *("sgld", "underdamped", "mala", "hmc", "gibbs", "preconditioned", "adaptive", "quantised"),
    *("population", "integration"),
)
#: Samplers that measure an evidence.
EVIDENCE_SAMPLERS = SAMPLERS[-2:]
STARTS = ("prior", "planted", "spread", "released")
STEP_SCHEDULES = ("constant", "polynomial", "cyclical")
ROUNDINGS = ("stochastic", "nearest", "floor")
SOLVERS = ("particles", "collapsed")
NNGP_VARIANTS = ("matched", "as-published")
PROTOCOLS = ("published",)
#: Of a page: to compute fewer points and seeds, to show what is stored, to compute everything.
PROFILES = ("quick", "stored", "paper")
DTYPES = ("float32", "float64")

#: Of a Hermite polynomial: the labels of larger ones leave single precision.
LARGEST_DEGREE = 20

#: Seeds of whole words of 32 bits, of which the streams of a seed are made
#: (:mod:`feature_learning.randomness`): no two seeds share a stream.
LARGEST_SEED = 2**32 - 1
