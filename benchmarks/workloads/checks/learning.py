"""scikit-learn, with joblib and threadpoolctl."""

import contextlib
import io
import pickle
import warnings

import joblib
import numpy as np
import sklearn
import threadpoolctl
from sklearn import (
    cluster,
    compose,
    covariance,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    isotonic,
    linear_model,
    manifold,
    metrics,
    mixture,
    model_selection,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
    utils,
)
from sklearn.datasets import load_iris, make_blobs, make_regression

from checks import close, equal, expect

FEATURES, LABELS = load_iris(return_X_y=True)


def classifiers():
    for model in (
        linear_model.LogisticRegression(max_iter=1000),
        linear_model.SGDClassifier(random_state=0, alpha=0.01),
        tree.DecisionTreeClassifier(random_state=0),
        ensemble.RandomForestClassifier(20, random_state=0, n_jobs=2),
        ensemble.ExtraTreesClassifier(20, random_state=0),
        ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0),
        ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=0),
        ensemble.AdaBoostClassifier(n_estimators=20, random_state=0),
        svm.SVC(probability=False),
        svm.LinearSVC(random_state=0),
        neighbors.KNeighborsClassifier(),
        naive_bayes.GaussianNB(),
        discriminant_analysis.LinearDiscriminantAnalysis(),
        gaussian_process.GaussianProcessClassifier(random_state=0),
        neural_network.MLPClassifier((16,), max_iter=800, random_state=0),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score = model.fit(FEATURES, LABELS).score(FEATURES, LABELS)
        expect(score > 0.85, f"{type(model).__name__} scores {score:.2f}")


def regressors():
    x, y = make_regression(150, 5, noise=1.0, random_state=0)
    for model in (
        linear_model.LinearRegression(),
        linear_model.Ridge(),
        linear_model.Lasso(0.1),
        linear_model.ElasticNet(0.01),
        linear_model.HuberRegressor(),
        linear_model.LassoLars(0.01),
        ensemble.RandomForestRegressor(20, random_state=0),
        ensemble.HistGradientBoostingRegressor(random_state=0),
        neighbors.KNeighborsRegressor(3),
        svm.SVR(C=100),
    ):
        score = model.fit(x, y).score(x, y)
        expect(score > 0.7, f"{type(model).__name__} scores {score:.2f}")
    close(isotonic.IsotonicRegression().fit_transform([1, 2, 3], [1, 3, 2]), [1.0, 2.5, 2.5])


def unsupervised():
    points, truth = make_blobs(120, centers=3, cluster_std=0.4, random_state=0)
    for model in (
        cluster.KMeans(3, n_init=3, random_state=0),
        cluster.MiniBatchKMeans(3, n_init=3, random_state=0),
        cluster.AgglomerativeClustering(3),
        cluster.SpectralClustering(3, random_state=0),
        mixture.GaussianMixture(3, random_state=0),
    ):
        found = model.fit_predict(points)
        expect(metrics.adjusted_rand_score(truth, found) > 0.9, type(model).__name__)
    expect(len(set(cluster.DBSCAN(0.8).fit_predict(points)) - {-1}) >= 3)
    expect(len(set(cluster.HDBSCAN(copy=True).fit_predict(points)) - {-1}) >= 2)
    pca = decomposition.PCA(2).fit(FEATURES)
    close(pca.explained_variance_ratio_[0], 0.9246187, 1e-5)
    equal(
        decomposition.NMF(2, random_state=0, max_iter=500).fit_transform(FEATURES).shape, (150, 2)
    )
    equal(decomposition.TruncatedSVD(2, random_state=0).fit_transform(FEATURES).shape, (150, 2))
    equal(manifold.TSNE(perplexity=10, random_state=0).fit_transform(points[:50]).shape, (50, 2))
    equal(manifold.Isomap(n_neighbors=30).fit_transform(points[:40]).shape, (40, 2))
    equal((ensemble.IsolationForest(random_state=0).fit_predict(FEATURES) == 1).sum() > 75, True)
    equal(covariance.LedoitWolf().fit(FEATURES).covariance_.shape, (4, 4))


def preparation_of_data():
    rows = np.array([["a", 1.0], ["b", 3.0], ["a", np.nan]], dtype=object)
    numbers = pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    steps = compose.ColumnTransformer(
        [
            ("kind", preprocessing.OneHotEncoder(sparse_output=False), [0]),
            ("size", numbers, [1]),
        ]
    )
    close(steps.fit_transform(rows)[:, :2], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    close(preprocessing.PolynomialFeatures(2).fit_transform([[2.0]]), [[1.0, 2.0, 4.0]])
    close(preprocessing.MinMaxScaler().fit_transform([[1.0], [3.0]]), [[0.0], [1.0]])
    equal(preprocessing.QuantileTransformer(n_quantiles=10).fit_transform(FEATURES).shape, (150, 4))
    words = feature_extraction.text.TfidfVectorizer().fit(["red fish", "blue fish"])
    equal(words.get_feature_names_out().tolist(), ["blue", "fish", "red"])
    hashed = feature_extraction.text.HashingVectorizer(n_features=16).transform(["red fish"])
    equal(hashed.shape, (1, 16))
    best = feature_selection.SelectKBest(k=2).fit(FEATURES, LABELS)
    equal(best.get_support().tolist(), [False, False, True, True])
    close(impute.KNNImputer(n_neighbors=1).fit_transform([[1.0, 2], [1.1, np.nan]])[1, 1], 2.0)


def choice_of_models():
    grid = model_selection.GridSearchCV(svm.SVC(), {"C": [0.01, 1.0]}, cv=3, n_jobs=1)
    equal(grid.fit(FEATURES, LABELS).best_params_, {"C": 1.0})
    scores = model_selection.cross_val_score(
        neighbors.KNeighborsClassifier(), FEATURES, LABELS, cv=5, n_jobs=2
    )
    expect(scores.mean() > 0.95)
    parts = model_selection.train_test_split(FEATURES, LABELS, random_state=0, stratify=LABELS)
    equal([len(part) for part in parts], [112, 38, 112, 38])
    equal(metrics.confusion_matrix([0, 1, 1], [0, 1, 0]).tolist(), [[1, 0], [1, 1]])
    close(metrics.roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 0.75)
    close(metrics.f1_score([0, 1, 1], [0, 1, 0]), 2 / 3)
    expect("precision" in metrics.classification_report([0, 1], [0, 1]))


def pickling():
    model = pipeline.make_pipeline(
        preprocessing.StandardScaler(), ensemble.RandomForestClassifier(10, random_state=0)
    ).fit(FEATURES, LABELS)
    again = pickle.loads(pickle.dumps(model, protocol=5))
    close(again.predict_proba(FEATURES), model.predict_proba(FEATURES))
    stream = io.BytesIO()
    joblib.dump(model, stream, compress=3)
    stream.seek(0)
    close(joblib.load(stream).predict_proba(FEATURES), model.predict_proba(FEATURES))


def descriptions():
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        sklearn.show_versions()
    expect(sklearn.__version__ in printed.getvalue())
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVC(C=2))
    equal(repr(model.steps[1][1]), "SVC(C=2)")
    # It reads a style sheet and a script that lie beside the module.
    expect("<style" in utils.estimator_html_repr(model))
    expect("petal" in tree.export_text(
        tree.DecisionTreeClassifier(max_depth=1, random_state=0).fit(FEATURES, LABELS),
        feature_names=["sepal length", "sepal width", "petal length", "petal width"],
    ))  # fmt: skip
    expect(threadpoolctl.threadpool_info(), "threadpoolctl finds no BLAS")


CHECKS = (
    classifiers, regressors, unsupervised, preparation_of_data, choice_of_models, pickling,
    descriptions,
)  # fmt: skip
