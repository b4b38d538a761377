"""Every statement holds, and each kind of check fails when what it measures is wrong."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy.stats import binom, norm

from aninfonce import metrics, report, verification
from aninfonce.cli import run
from aninfonce.distributions import AnisotropicSpherical, ApproximateAnisotropicSpherical
from aninfonce.metrics import _anisotropy
from aninfonce.verification import COMPARISONS, FAMILY_WISE, LEVEL, STATEMENTS, estimator
from aninfonce.verification import _run as runner
from aninfonce.verification._check import Statement, above, below, equal, quiet, rings, seldom
from aninfonce.verification._oracle import Draws, concentrations, fit, objective

FAST = ["density", "normalizer", "acceptance", "dimension", "other-marginals"]


class HalfDraws(Draws):
    """Positives under the convention with a factor 1/2, as an unnoticed slip would draw them."""

    def positives(self, z, concentration):
        return super().positives(z, concentration / 2)


class SlightlyOff(Draws):
    """The first concentration is a tenth larger than stated."""

    def positives(self, z, concentration):
        factor = torch.ones(z.shape[1], dtype=z.dtype)
        factor[0] = 1.1
        return super().positives(z, concentration * factor)


class Approximated(Draws):
    """The approximate sampler in the place of the exact one."""

    def positives(self, z, concentration):
        return ApproximateAnisotropicSpherical(z, concentration.clamp_min(0.1)).sample(generator=self.generator)


class CrowdedNegatives(Draws):
    """Latents that are not uniform, so that neither are the negatives."""

    def uniform(self, *shape, dim):
        z = super().uniform(*shape, dim=dim)
        z[..., 0] *= 2
        return z / z.norm(dim=-1, keepdim=True)


def findings_of(name, draws=Draws, scale=0.25):
    return STATEMENTS[name].check(draws.of(0, name, scale))


def fails(name, draws, scale=0.25):
    return not all(measurement.holds for measurement in findings_of(name, draws, scale))


class TestVerdict:
    def test_equality_reaches_as_far_as_the_noise_and_the_allowance(self):
        q = norm.isf(LEVEL / 2)
        assert equal("x", 1 + 0.99 * q, 1.0, 1.0).holds
        assert not equal("x", 1 + 1.01 * q, 1.0, 1.0).holds
        assert equal("x", 1 - 1.01 * q, 1.0, 1.0, allowance=0.1).holds
        assert not equal("x", 1.2, 1.0, allowance=0.1).holds
        assert equal("x", 1.0, 1.0).quantile == pytest.approx(q)

    def test_an_inequality_must_be_significant(self):
        assert above("x", 6.0, 0.0, 1.0).holds
        assert not above("x", 3.0, 0.0, 1.0).holds
        assert below("x", -6.0, 0.0, 1.0).holds
        assert not below("x", 6.0, 0.0, 1.0).holds
        assert not above("x", 0.0, 0.0).holds

    def test_few_degrees_of_freedom_reach_further(self):
        assert not equal("x", 5.5, 0.0, 1.0).holds
        assert equal("x", 5.5, 0.0, 1.0, dof=20).holds
        assert equal("x", 1.0, 1.0, dof=1e9).quantile == pytest.approx(norm.isf(LEVEL / 2), rel=1e-4)

    def test_every_number_counts(self):
        assert equal("x", [1.0, 2.0], [1.0, 2.0]).holds
        assert not equal("x", [1.0, 2.0], [1.0, 2.1]).holds
        assert equal("x", torch.ones(3), 1.0, np.full(3, 0.1)).comparisons == 3

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_what_is_not_finite_fails(self, value):
        assert not equal("x", value, 1.0, 1.0).holds
        assert not equal("x", 1.0, 1.0, math.nan).holds
        assert not above("x", value, 1.0).holds
        assert not below("x", -value, 1.0).holds

    def test_p_values(self):
        assert quiet("test", 1e-3).holds
        assert not quiet("test", LEVEL / 2).holds
        assert rings("test", LEVEL / 2).holds
        assert not rings("test", 1e-3).holds
        # A permutation test cannot go below 1 in 200: many of them together can.
        assert rings("test", [0.005] * 10).holds
        assert not quiet("test", [0.005] * 10).holds
        assert quiet("test", [0.005] + [0.5] * 19).holds

    def test_counts(self):
        assert not seldom("x", 14, 60, 0.05).holds
        assert seldom("x", 3, 60, 0.05).holds
        assert seldom("x", 0, 60, 0.05).holds
        assert seldom("x", 20, 400, 0.05).holds
        assert not seldom("x", 0, 0, 0.05).holds  # no trial is no evidence

    def test_the_trials_of_the_coverage_check_are_enough(self):
        """14 of 60 is seen nearly always, and an interval that is right nearly never takes the blame."""
        n = estimator.INTERVALS
        passing = [count for count in range(n) if seldom("x", count, n, estimator.MISSES).holds]
        assert passing == list(range(len(passing)))
        assert binom.cdf(passing[-1], n, 14 / 60) < 1e-4
        assert binom.sf(passing[-1], n, 0.05) < 1e-5

    def test_refusals(self):
        with pytest.raises(ValueError, match=r"one length, got \[1, 2\]"):
            equal("x", 1.0, [1.0, 2.0])
        with pytest.raises(ValueError, match="at least 0"):
            equal("x", 1.0, 1.0, -1.0)
        with pytest.raises(ValueError, match="unknown relation"):
            replace(equal("x", 1.0, 1.0), relation="~")

    def test_false_alarms_of_a_whole_run_are_as_rare_as_stated(self):
        """The worst of all comparisons of a run, over many runs of pure noise, at a level that can be counted."""
        rng = np.random.default_rng(0)
        worst = np.abs(rng.normal(size=(20_000, COMPARISONS))).max(1)
        assert pytest.approx(FAMILY_WISE) == COMPARISONS * LEVEL
        assert (worst > norm.isf(LEVEL / 2)).mean() < 5 * FAMILY_WISE
        assert (worst > norm.isf(0.05 / COMPARISONS / 2)).mean() == pytest.approx(0.05, abs=0.01)


class TestOracle:
    def test_the_draws_depend_on_seed_and_name(self):
        first, again, other, named = (
            Draws.of(s, n).uniform(5, dim=3) for s, n in ((0, "a"), (0, "a"), (1, "a"), (0, "b"))
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert not torch.equal(first, named)

    def test_a_smaller_run_has_fewer_samples(self):
        assert sum(Draws.of(0, "a", 0.25).rows(400)) == pytest.approx(0.25 * sum(Draws.of(0, "a").rows(400)), rel=0.01)

    def test_the_fit_is_a_minimum_of_the_loss(self):
        at = concentrations(8.0, 4.0, 2.0)
        batches = Draws.of(0, "a", 0.1).explicit(200, 8, at)
        value = objective(3)
        found = torch.from_numpy(fit(value, batches, torch.full_like(at, 3.0)).concentration)
        best = sum(value(found, batch) for batch in batches)
        for k in range(3):
            for step in (-0.2, 0.2):
                moved = found + step * torch.eye(3, dtype=found.dtype)[k]
                assert sum(value(moved, batch) for batch in batches) > best

    def test_standard_errors_are_those_of_replicates(self):
        at = concentrations(8.0, 4.0)
        fits = [fit(objective(2), Draws.of(s, "a", 0.1).explicit(400, 4, at), at) for s in range(15)]
        scores = np.array([(f.concentration - at.numpy()) / f.standard_error for f in fits])
        assert 0.6 < scores.std() < 1.45

    def test_a_maximum_is_no_fit(self):
        batches = Draws.of(0, "a", 0.1).explicit(50, 4, concentrations(5.0, 5.0))
        value = objective(2)
        with pytest.raises(ArithmeticError, match="no minimum"):
            fit(lambda at, batch: -value(at, batch), batches, concentrations(4.0, 4.0))


class TestWrongPhysicsIsSeen:
    @pytest.mark.parametrize(
        "name",
        ["samples", "isotropic", "second-moments", "posterior", "other-anchors", "estimate", "information"],
    )
    def test_a_factor_one_half(self, name):
        assert not fails(name, Draws)
        assert fails(name, HalfDraws)

    @pytest.mark.parametrize("name", ["samples", "second-moments", "other-anchors"])
    def test_a_tenth_in_one_dimension(self, name):
        assert fails(name, SlightlyOff, scale=1.0)

    @pytest.mark.parametrize("name", ["samples", "approximation"])
    def test_the_approximate_sampler(self, name):
        assert fails(name, Approximated, scale=1.0)

    @pytest.mark.parametrize("name", ["posterior", "uniform-marginal", "evenness"])
    def test_a_marginal_that_is_not_uniform(self, name):
        assert fails(name, CrowdedNegatives)

    def test_a_normaliser_with_a_half_too_many(self, monkeypatch):
        right = AnisotropicSpherical.log_normalizer_from_acceptance

        def halved(self, n, *, generator=None):
            found = right(self, n, generator=generator)
            return found._replace(estimate=found.estimate - math.log(2))

        monkeypatch.setattr(AnisotropicSpherical, "log_normalizer_from_acceptance", halved)
        assert fails("acceptance", Draws)

    def test_a_density_without_the_normaliser(self, monkeypatch):
        monkeypatch.setattr(AnisotropicSpherical, "log_prob", AnisotropicSpherical.unnormalized_log_prob)
        assert fails("density", Draws)

    @pytest.mark.parametrize(("factor", "scale"), [(2.0, 0.1), pytest.param(1.3, 1.0, marks=pytest.mark.slow)])
    def test_standard_errors_that_are_too_small(self, monkeypatch, factor, scale):
        if scale < 1:
            monkeypatch.setattr(estimator, "COVERED", estimator.COVERED[1:])
            monkeypatch.setattr(estimator, "FEWEST_INTERVALS", 60)
        right = _anisotropy.jackknife

        def shrunken(choices, fit):
            found = right(choices, fit)
            return found._replace(covariance=found.covariance / factor**2)

        monkeypatch.setattr(_anisotropy, "jackknife", shrunken)
        assert fails("coverage", Draws, scale)

    def test_an_interval_that_is_never_defined(self, monkeypatch):
        nothing = metrics.Interval(math.nan, math.nan, math.nan, "none")
        monkeypatch.setattr(_anisotropy, "summaries", lambda *arguments: (nothing, nothing, nothing))
        monkeypatch.setattr(estimator, "COVERED", estimator.COVERED[1:])
        monkeypatch.setattr(estimator, "FEWEST_INTERVALS", 5)
        assert fails("coverage", Draws, 0.01)

    def test_a_fit_without_a_solution_is_a_failure_and_not_the_end(self, monkeypatch):
        def hopeless(draws):
            raise ArithmeticError("no root")

        known = {**STATEMENTS, "hopeless": Statement("hopeless", "loss", "Nothing", hopeless)}
        monkeypatch.setattr(runner, "STATEMENTS", known)
        hopeless_one, fine = verification.run(quick=True, statements=["hopeless", "density"])
        assert not hopeless_one.holds
        assert fine.holds
        rows = verification.as_json([hopeless_one, fine])["rows"]
        assert rows[0]["error"] == "no root"


class TestCommand:
    def test_results_and_table(self, tmp_path, capsys):
        out = tmp_path / "out"
        assert run(["verify", "--quick", "--only", *FAST, "--out", str(out)]) == 0
        printed = capsys.readouterr().out
        assert "5 statements" in printed
        assert "all hold" in printed
        results = json.loads((out / "results.json").read_text())
        assert {"name", "config", "seed", "versions", "seconds", "cpu_seconds", "metrics", "rows"} <= results.keys()
        assert results["metrics"]["failed"] == 0
        assert all(row["holds"] for row in results["rows"])
        assert run(["verify", "--only", *FAST, "--out", str(out)]) == 2
        assert "already holds a run; pass --overwrite\n" in capsys.readouterr().err  # there is nothing to resume
        again = tmp_path / "again"
        assert run(["verify", "--quick", "--only", *FAST[::-1], "--out", str(again)]) == 0
        rows = json.loads((again / "results.json").read_text())["rows"]
        assert sorted(map(str, rows)) == sorted(map(str, results["rows"]))  # whatever the order

    def test_a_refuted_statement_is_exit_code_1(self, tmp_path, capsys, monkeypatch):
        wrong = replace(STATEMENTS["density"], check=lambda draws: [equal("∫ p", 2.0, 1.0)])
        monkeypatch.setattr(runner, "STATEMENTS", {**STATEMENTS, "density": wrong})
        assert run(["verify", "--only", "density", "dimension", "--out", str(tmp_path / "out")]) == 1
        printed = capsys.readouterr()
        assert "1 FAILED" in printed.out
        assert "FAILS" in printed.out
        assert printed.err == "error: 1 of 2 statements fail: density\n"
        assert json.loads((tmp_path / "out" / "results.json").read_text())["metrics"]["failed"] == 1

    def test_help(self, capsys):
        with pytest.raises(SystemExit) as leaving:
            run(["verify", "--help"])
        assert leaving.value.code == 0
        assert "--quick" in capsys.readouterr().out

    def test_an_interrupted_run_keeps_what_it_found(self, tmp_path, monkeypatch):
        def interrupted(draws):
            raise KeyboardInterrupt

        wrong = replace(STATEMENTS["dimension"], check=interrupted)
        monkeypatch.setattr(runner, "STATEMENTS", {**STATEMENTS, "dimension": wrong})
        assert run(["verify", "--only", "density", "dimension", "--out", str(tmp_path / "out")]) == 130
        results = json.loads((tmp_path / "out" / "results.json").read_text())
        assert results["complete"] is False
        assert results["metrics"]["density/holds"] == 1

    def test_a_wrong_name_is_one_clear_line(self, tmp_path, capsys):
        assert run(["verify", "--only", "densty", "--out", str(tmp_path / "out")]) == 2
        assert "did you mean 'density'" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_the_table_shows_what_could_not_be_measured(self):
        row = {"section": "S", "name": "n", "statement": "T", "holds": False}
        measured = {"what": "x", "predicted": [1.0], "measured": [None], "standard_error": [0.1]}
        measured |= {"relation": ">", "allowance": [0.03]}
        metrics = {"failed": 1, "statements": 1, "comparisons": 1}
        results = {"rows": [{**row, "error": "no root"}, {**row, **measured}], "metrics": metrics}
        console = Console(width=200, file=io.StringIO())
        console.print(report.verification_table({**results, "level": 4e-6, "family_wise": 1e-3}))
        text = console.file.getvalue()
        assert "could not be measured: no root" in text
        assert "> 1 (± 0.03)" in text
        assert "none" in text


def test_names_and_sections_are_known():
    assert {statement.section for statement in STATEMENTS.values()} == set(verification.SECTIONS)
    assert all(name == statement.name for name, statement in STATEMENTS.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", STATEMENTS)
def test_statement(name):
    (finding,) = verification.run(seed=1, statements=[name])
    assert finding.error is None
    wrong = [measurement for measurement in finding.measurements if not measurement.holds]
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 6))
def test_no_false_alarms_over_seeds(seed):
    findings = list(verification.run(seed, quick=True))
    assert [finding.statement.name for finding in findings if not finding.holds] == []
    assert sum(m.comparisons for finding in findings for m in finding.measurements) <= COMPARISONS
