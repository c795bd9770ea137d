"""What a bench is: a function of the programs' folder and the number of runs."""


def bench(name, *programs):
    """Marks a function as a bench of that name, which needs these programs.

    It returns {metric: {"unit", "better": "lower" | "higher", "values": [one per run],
    "reference": what it is compared with, "reference_values": [one per run, taken in turns]}}; a reference
    that is not there is named without values.
    """
    def mark(function):
        function.bench = name
        function.programs = programs
        return function
    return mark


class Samples:
    """Collects the values of a bench, run by run."""

    def __init__(self):
        self._samples = {}

    def add(self, metric, unit, better, value, reference=None, reference_value=None):
        sample = self._samples.setdefault(
            metric, {"unit": unit, "better": better, "values": [], "reference": reference})
        sample["values"].append(value)
        if reference_value is not None:
            sample.setdefault("reference_values", []).append(reference_value)

    def done(self):
        return self._samples
