"""Which generators make which data, in what shares? Adding a kind of data starts here."""

from __future__ import annotations

from collections.abc import Mapping

from mimo_vl.data.synthesis.caption import caption, caption_document, interleaved, interleaved_document
from mimo_vl.data.synthesis.draft import Generator
from mimo_vl.data.synthesis.grounding import grounding_box, grounding_point
from mimo_vl.data.synthesis.gui import gui_action
from mimo_vl.data.synthesis.preference import declined_request, multimodal_query, text_query
from mimo_vl.data.synthesis.reading import counting, ocr, qa
from mimo_vl.data.synthesis.reasoning import text_reasoning, visual_reasoning
from mimo_vl.data.synthesis.text import instruction, prose
from mimo_vl.data.synthesis.video import temporal_grounding, video_events, video_question
from mimo_vl.vocabulary import DataType, RlFamily

# Generator and its share, in a fixed order.
Blend = tuple[tuple[Generator, float], ...]

TRAINING: Mapping[DataType, Blend] = {
    # Documents only: the language model is frozen while these two are all there is, and it has never seen a chat turn.
    DataType.CAPTION: ((caption_document, 1.0),),
    DataType.INTERLEAVED: ((interleaved_document, 1.0),),
    DataType.TEXT: ((prose, 1.0),),
    DataType.OCR: ((ocr, 1.0),),
    DataType.GROUNDING: ((grounding_box, 0.6), (grounding_point, 0.4)),
    DataType.COUNTING: ((counting, 1.0),),
    DataType.QA: ((qa, 0.4), (caption, 0.35), (interleaved, 0.25)),
    DataType.VIDEO: ((temporal_grounding, 0.6), (video_question, 0.25), (video_events, 0.15)),
    DataType.GUI: ((gui_action, 1.0),),
    DataType.INSTRUCTION: ((instruction, 0.85), (declined_request, 0.15)),
    DataType.REASONING: ((visual_reasoning, 0.6), (text_reasoning, 0.4)),
}

RL: Mapping[RlFamily, Blend] = {
    RlFamily.VISUAL_REASONING: ((visual_reasoning, 1.0),),
    RlFamily.TEXT_REASONING: ((text_reasoning, 1.0),),
    RlFamily.GROUNDING: ((grounding_box, 0.6), (grounding_point, 0.4)),
    RlFamily.COUNTING: ((counting, 1.0),),
    RlFamily.TEMPORAL_GROUNDING: ((temporal_grounding, 1.0),),
    RlFamily.PREFERENCE_TEXT: ((text_query, 1.0),),
    RlFamily.PREFERENCE_MULTIMODAL: ((multimodal_query, 1.0),),
}

# Held-out items of the families that RL does not train.
EVALUATION: Mapping[DataType, Blend] = {
    DataType.CAPTION: ((caption, 1.0),),
    DataType.INTERLEAVED: ((interleaved, 1.0),),
    DataType.OCR: ((ocr, 1.0),),
    DataType.QA: ((qa, 1.0),),
    DataType.VIDEO: ((video_question, 1.0),),
    DataType.GUI: ((gui_action, 1.0),),
    DataType.INSTRUCTION: ((instruction, 1.0),),
    DataType.TEXT: ((prose, 1.0),),
}
