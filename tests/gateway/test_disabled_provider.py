"""A model of a disabled provider: who asks for it is told what is wrong."""

from tests.gateway.account import Account
from tests.gateway.scene import CHAT, Scene


def test_a_disabled_provider_is_named_for_its_models(scene: Scene) -> None:
    scene.account.change_provider(scene.provider, enabled=False)
    for model in (scene.model, f"{scene.name}/{scene.model}", f"{scene.name}/another"):
        response = scene.post(model=model)
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
        assert error["message"] == f"The model '{model}' cannot be asked: its provider '{scene.name}' is disabled."
    scene.account.change_provider(scene.provider, enabled=True)
    assert scene.post().status_code == 200


def test_so_is_who_looks_for_one_in_the_list(scene: Scene) -> None:
    """But for a key that may not use it, it does not exist."""
    scene.account.change_provider(scene.provider, enabled=False)
    path = f"/v1/models/{scene.name}/{scene.model}"
    found = scene.http.get(path)
    assert (found.status_code, found.json()["error"]["param"]) == (404, "model")
    assert f"its provider '{scene.name}' is disabled" in found.json()["error"]["message"]
    key = scene.account.create_key(allowed_models=["another"])["key"]
    elsewhere = scene.http.get(path, headers={"authorization": f"Bearer {key}"})
    assert "does not exist here" in elsewhere.json()["error"]["message"]


def test_another_workspace_is_not_told_of_it(scene: Scene, other_account: Account) -> None:
    scene.account.change_provider(scene.provider, enabled=False)
    key = other_account.create_key()["key"]
    response = scene.http.post(CHAT, json=scene.body(), headers={"authorization": f"Bearer {key}"})
    assert response.status_code == 404
    assert "does not exist here" in response.json()["error"]["message"]
