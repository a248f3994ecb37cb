"""XGBoost and LightGBM."""

import json
import tempfile

import lightgbm
import numpy as np
import scipy.sparse
import xgboost

from checks import close, equal, expect, raises

RNG = np.random.default_rng(0)
FEATURES = RNG.standard_normal((400, 5))
LABELS = (FEATURES[:, 0] * FEATURES[:, 1] > 0).astype(int)


def accuracy(odds):
    return float(((np.asarray(odds) > 0.5) == LABELS).mean())


def xgboost_trees():
    whole = xgboost.DMatrix(FEATURES, LABELS, feature_names=list("abcde"))
    told = {}
    options = {"objective": "binary:logistic", "max_depth": 4, "eval_metric": "auc"}
    for method in ("hist", "exact", "approx"):
        model = xgboost.train(
            {**options, "tree_method": method}, whole, 20,
            evals=[(whole, "all")], evals_result=told, verbose_eval=False,
        )  # fmt: skip
        expect(accuracy(model.predict(whole)) > 0.9, f"{method} has not learned")
        expect(told["all"]["auc"][-1] > 0.95)
    expect({"a", "b"} <= set(model.get_score(importance_type="gain")))
    shares = model.predict(whole, pred_contribs=True)
    close(shares.sum(axis=1)[:20], model.predict(whole, output_margin=True)[:20], 1e-3)
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("json", "ubj"):
            model.save_model(f"{folder}/m.{ending}")
            again = xgboost.Booster(model_file=f"{folder}/m.{ending}")
            close(again.predict(whole)[:20], model.predict(whole)[:20])
    expect(json.loads(model.get_dump(dump_format="json")[0]))


def xgboost_options():
    whole = xgboost.DMatrix(scipy.sparse.csr_matrix(FEATURES), LABELS)
    for booster in ("gblinear", "dart"):
        options = {"booster": booster, "objective": "binary:logistic"}
        equal(xgboost.train(options, whole, 5).predict(whole).shape, (400,))
    forest = xgboost.train({"num_parallel_tree": 20, "subsample": 0.5}, whole, 1)
    equal(forest.num_boosted_rounds(), 1)
    kinds = xgboost.DMatrix(FEATURES, np.arange(400) % 3)
    odds = xgboost.train({"objective": "multi:softprob", "num_class": 3}, kinds, 3).predict(kinds)
    close(odds.sum(axis=1)[:10], [1.0] * 10, 1e-5)
    ranks = xgboost.DMatrix(FEATURES, LABELS, qid=np.repeat(np.arange(40), 10))
    xgboost.train({"objective": "rank:ndcg"}, ranks, 2)
    found = xgboost.cv({"objective": "binary:logistic"}, whole, 5, nfold=3, as_pandas=False)
    equal(len(found["test-logloss-mean"]), 5)
    raises(xgboost.core.XGBoostError, xgboost.train, {"objective": "none of that name"}, whole, 1)
    expect("USE_CUDA" in xgboost.build_info())


def lightgbm_trees():
    options = {"objective": "binary", "num_leaves": 15, "verbose": -1, "min_data_in_leaf": 5}
    for boosting in ("gbdt", "dart", "rf"):
        sampled = {"bagging_freq": 1, "bagging_fraction": 0.8} if boosting == "rf" else {}
        model = lightgbm.train(
            {**options, **sampled, "boosting": boosting}, lightgbm.Dataset(FEATURES, LABELS), 30
        )
        expect(accuracy(model.predict(FEATURES)) > 0.9, f"{boosting} has not learned")
    equal(model.feature_importance().shape, (5,))
    shares = model.predict(FEATURES[:20], pred_contrib=True)
    close(shares.sum(axis=1), model.predict(FEATURES[:20], raw_score=True), 1e-4)
    again = lightgbm.Booster(model_str=model.model_to_string())
    close(again.predict(FEATURES[:20]), model.predict(FEATURES[:20]))
    with tempfile.TemporaryDirectory() as folder:
        model.save_model(f"{folder}/m.txt")
        equal(lightgbm.Booster(model_file=f"{folder}/m.txt").num_trees(), 30)


def lightgbm_options():
    rows = scipy.sparse.csr_matrix(FEATURES)
    train, test = lightgbm.Dataset(rows[:300], LABELS[:300]), None
    test = train.create_valid(rows[300:], LABELS[300:])
    told = {}
    model = lightgbm.train(
        {"objective": "binary", "metric": "auc", "verbose": -1}, train, 40, valid_sets=[test],
        callbacks=[lightgbm.early_stopping(5, verbose=False), lightgbm.record_evaluation(told)],
    )  # fmt: skip
    expect(model.best_iteration and told["valid_0"]["auc"])
    kinds = lightgbm.Dataset(FEATURES, np.arange(400) % 3)
    odds = lightgbm.train({"objective": "multiclass", "num_class": 3, "verbose": -1}, kinds, 3)
    equal(odds.predict(FEATURES).shape, (400, 3))
    ranks = lightgbm.Dataset(FEATURES, LABELS, group=[10] * 40)
    lightgbm.train({"objective": "lambdarank", "verbose": -1}, ranks, 2)
    raises(
        lightgbm.basic.LightGBMError,
        lightgbm.train,
        {"objective": "none of that name", "verbose": -1},
        lightgbm.Dataset(FEATURES, LABELS),
    )


CHECKS = (xgboost_trees, xgboost_options, lightgbm_trees, lightgbm_options)
