from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mimo_vl.errors import CorruptDataError
from mimo_vl.processing.chat_template import CHAT_TEMPLATE
from mimo_vl.processing.encode import SampleEncoder
from mimo_vl.processing.videos import write_video
from mimo_vl.schema.sample import MediaPart, MediaRef, Message, Sample, TextPart
from mimo_vl.vocabulary import DataType, Language, Split


def _image(width: int = 84, height: int = 56) -> tuple[bytes, MediaRef]:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 10, 10)).save(buffer, "PNG")
    return buffer.getvalue(), MediaRef(sha256="i", kind="image", width=width, height=height)


def _video() -> tuple[bytes, MediaRef]:
    data = write_video([np.zeros((28, 56, 3), dtype=np.uint8)] * 8, fps=2)
    return data, MediaRef(sha256="v", kind="video", width=56, height=28, num_frames=8, fps=2.0)


def _sample(*messages: Message, media: tuple[MediaRef, ...] = ()) -> Sample:
    return Sample(
        id="s", data_type=DataType.OCR, language=Language.EN, split=Split.TRAIN, messages=messages, media=media
    )


def _user(text: str, *indices: int) -> Message:
    return Message(role="user", parts=(*(MediaPart(index=i) for i in indices), TextPart(text=text)))


def _assistant(text: str) -> Message:
    return Message(role="assistant", parts=(TextPart(text=text),))


def _supervised_text(encoder: SampleEncoder, ids: np.ndarray, mask: np.ndarray) -> str:
    return encoder.tokenizer.decode(ids[mask].tolist(), skip_special_tokens=False)


def test_an_image_takes_one_placeholder_per_28_px_cell(encoder: SampleEncoder) -> None:
    data, ref = _image()
    encoded = encoder.encode(_sample(_user("Read the digits.", 0), _assistant("42"), media=(ref,)), [data])
    special = encoder.tokenizer.special_ids
    assert (encoded.input_ids_T == special.image_pad).sum() == 6  # 84 / 28 * 56 / 28
    assert encoded.mm_types_T.sum() == 6
    assert encoded.grid_thw_N3.tolist() == [[1, 4, 6]]
    assert encoded.patches_PC.shape == (24, 1176)
    start = encoded.input_ids_T.tolist().index(special.vision_start)
    # time stays, rows and columns of the 2 x 3 grid count on from the position after <|vision_start|>
    assert (encoded.positions_3T[:, start + 1 : start + 7] - (start + 1)).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 1, 1],
        [0, 1, 2, 0, 1, 2],
    ]


def test_only_the_answer_and_its_end_of_turn_are_supervised(encoder: SampleEncoder) -> None:
    sample = _sample(_user("Read the digits."), _assistant("42"), _user("Again."), _assistant("24"))
    encoded = encoder.encode(sample, [])
    assert _supervised_text(encoder, encoded.input_ids_T, encoded.supervised_T) == "42<|im_end|>24<|im_end|>"


def test_a_document_is_supervised_up_to_its_end_but_not_its_first_token(encoder: SampleEncoder) -> None:
    encoded = encoder.encode(_sample(Message(role="document", parts=(TextPart(text="12 34"),))), [])
    assert _supervised_text(encoder, encoded.input_ids_T, encoded.supervised_T) == "2 34<|endoftext|>"


def test_placeholders_inside_a_document_are_not_supervised(encoder: SampleEncoder) -> None:
    data, ref = _image()
    document = Message(role="document", parts=(MediaPart(index=0), TextPart(text="4 on red.")))
    encoded = encoder.encode(_sample(document, media=(ref,)), [data])
    assert _supervised_text(encoder, encoded.input_ids_T, encoded.supervised_T) == "4 on red.<|endoftext|>"


def test_measure_agrees_with_encode_for_image_and_video(encoder: SampleEncoder) -> None:
    (image, image_ref), (video, video_ref) = _image(), _video()
    sample = _sample(_user("Which?", 0, 1), _assistant("4"), media=(image_ref, video_ref))
    encoded = encoder.encode(sample, [image, video])
    assert encoder.measure(sample) == (encoded.num_tokens, encoded.num_patches)
    assert encoded.grid_thw_N3.tolist() == [[1, 4, 6], [4, 2, 4]]


def test_time_positions_of_a_video_count_seconds(encoder: SampleEncoder) -> None:
    data, ref = _video()
    encoded = encoder.encode(_sample(_user("When?", 0), media=(ref,)), [data])
    times = encoded.positions_3T[0, encoded.mm_types_T == 2]
    # 2 tokens per step, 1 s per step, 4 indices per second
    assert (times - times[0]).tolist() == [0, 0, 4, 4, 8, 8, 12, 12]


def test_a_prompt_ends_where_the_assistant_begins_and_supervises_nothing(encoder: SampleEncoder) -> None:
    prompt = encoder.encode_prompt(_sample(_user("Read the digits.")), [])
    text = encoder.tokenizer.decode(prompt.input_ids_T.tolist(), skip_special_tokens=False)
    assert text == "<|im_start|>user\nRead the digits.<|im_end|>\n<|im_start|>assistant\n"
    assert not prompt.supervised_T.any()


def test_prompt_plus_completion_equals_the_training_sample(encoder: SampleEncoder) -> None:
    data, ref = _image()
    question = _user("Read the digits.", 0)
    prompt = encoder.encode_prompt(_sample(question, media=(ref,)), [data])
    answer = [*encoder.tokenizer.encode("42"), encoder.tokenizer.special_ids.turn_end]
    completed = encoder.encode_completion(prompt, answer)
    trained = encoder.encode(_sample(question, _assistant("42"), media=(ref,)), [data])
    # the training sample has one more token, the line break after the turn
    assert completed.input_ids_T.tolist() == trained.input_ids_T[:-1].tolist()
    assert completed.supervised_T.tolist() == trained.supervised_T[:-1].tolist()
    assert completed.positions_3T.tolist() == trained.positions_3T[:, :-1].tolist()


def test_tokens_equal_those_of_the_rendered_chat_template(encoder: SampleEncoder) -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    data, ref = _image(56, 56)
    encoded = encoder.encode(_sample(_user("Read the digits.", 0), _assistant("42"), media=(ref,)), [data])
    template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(CHAT_TEMPLATE)
    content = [{"type": "image"}, {"type": "text", "text": "Read the digits."}]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "42"}]
    rendered = template.render(messages=messages).replace("<|image_pad|>", "<|image_pad|>" * 4)
    assert encoder.tokenizer.decode(encoded.input_ids_T.tolist(), skip_special_tokens=False) == rendered


def test_a_corrupt_image_names_the_sample(encoder: SampleEncoder) -> None:
    _, ref = _image()
    with pytest.raises(CorruptDataError, match="sample s, medium 0: corrupt image"):
        encoder.encode(_sample(_user("Read.", 0), media=(ref,)), [b"nonsense"])


def test_a_picture_of_another_size_than_its_record_is_refused(encoder: SampleEncoder) -> None:
    data, _ = _image(112, 56)
    _, ref = _image(84, 56)
    with pytest.raises(CorruptDataError, match="grid"):
        encoder.encode(_sample(_user("Read.", 0), media=(ref,)), [data])


def test_boxes_are_in_the_pixels_of_the_resized_image(encoder: SampleEncoder) -> None:
    assert encoder.resized_size(MediaRef(sha256="i", kind="image", width=100, height=70)) == (112, 56)
