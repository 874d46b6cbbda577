"""Korean particles agree with the last sound of the word before them."""

import pytest

from pipeline.core.language import filled
from pipeline.core.particles import FORMS, particle


@pytest.mark.parametrize(
    ("word", "topic", "direction"),
    [
        # Hangul: a vowel, a consonant, and ㄹ, which is a vowel for 으로.
        ("고양이", "는", "로"),
        ("그룹", "은", "으로"),
        ("레이블", "은", "로"),
        # Digits are said in Korean: 이 삼 칠 십.
        ("2", "는", "로"),
        ("3", "은", "으로"),
        ("resnet7", "은", "로"),
        ("0.10", "은", "으로"),
        ("95%", "는", "로"),
        ("epoch", "은", "으로"),
        # Words as they are said: 모델, 트레인, 셋, 블렌드, 멤버, 이미지.
        ("model", "은", "로"),
        ("train", "은", "으로"),
        ("set", "은", "으로"),
        ("blend", "는", "로"),
        ("member", "는", "로"),
        ("image", "는", "로"),
        # Abbreviations are spelled: 씨에스브이, 씨엔엔, 유알엘, 엔피와이.
        ("a.csv", "는", "로"),
        ("small_cnn", "은", "으로"),
        ("URL", "은", "로"),
        ("AUC", "는", "로"),
        # Quotation marks, tags and remarks in brackets are not said.
        ("`train`", "은", "으로"),
        ("그룹(group)", "은", "으로"),
        ("<code>make home</code>", "는", "로"),
        # A sound that is not known.
        ("猫", "은(는)", "(으)로"),
        ("", "은(는)", "(으)로"),
    ],
)
def test_a_particle_fits_the_last_sound(word, topic, direction):
    assert particle(word, "은/는") == topic
    assert particle(word, "으로/로") == direction


def test_every_pair_is_written_in_any_order():
    for pair, (closed, open_) in FORMS.items():
        assert {particle("밥", pair), particle("차", pair)} == {closed, open_}
        assert "/".join(reversed(pair.split("/"))) in FORMS


def test_a_particle_follows_the_inserted_word_and_not_the_placeholder():
    text = "{name}{은/는} {n:,}장{을/를} {name}{와/과}"
    assert filled(text, {"name": "train", "n": 1234}) == "train은 1,234장을 train과"
    assert filled(text, {"name": "test {은/는}", "n": 2}).startswith("test {은/는}"), (
        "values stay as they are"
    )


def test_private_characters_of_a_value_are_no_places_of_particles():
    assert filled("{name}{은/는}", {"name": "a\ue000zz\ue0017"}) == "a\ue000zz\ue0017은"
