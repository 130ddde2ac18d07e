from ringwatch_daemon.core.stamp_lead import StampLead

SECOND = 1_000_000_000


def test_a_stamp_ahead_of_its_receipt_is_false_unless_two_before_it_were_as_far_ahead():
    lead = StampLead()
    for number in range(5):
        lead.note(number * SECOND, number * SECOND + 5_000_000)
    assert not lead.is_passed_by(10 * SECOND, 10 * SECOND + 1)
    lead.note(50 * SECOND, 10 * SECOND)
    assert lead.is_passed_by(51 * SECOND, 11 * SECOND)
    lead.note(51 * SECOND, 11 * SECOND)
    assert not lead.is_passed_by(52 * SECOND, 12 * SECOND)


def test_frames_that_waited_long_do_not_make_those_that_come_at_once_incredible():
    lead = StampLead(-5_000_000, -5_000_000)
    for number in range(100):
        lead.note(number * SECOND, 100 * SECOND)
    assert not lead.is_passed_by(99 * SECOND, 99 * SECOND + 4_000_000)


def test_a_detector_whose_clock_is_behind_is_held_against_its_own_clock():
    lead = StampLead(-3600 * SECOND, -3600 * SECOND)
    assert lead.is_passed_by(-3500 * SECOND, 0)
    new = StampLead(-3601 * SECOND, -3601 * SECOND)
    new.take_over(lead)
    assert not new.is_passed_by(-3600 * SECOND, 0)
